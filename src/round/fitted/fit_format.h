#pragma once
// Formats whose levels are found in the weights themselves, without data (format/table/fitted_table.h): the exponent of
// a power grid, or every level of a table. The fit is made before anything is rounded; from then on the format is like
// any other, and every rounding onto scaled grids goes with it.
//
//   exponent   argmin over a of sum over matrices of |W - Q_a(W)|_2, Q_a nearest rounding with the target's own scales
//              (PowerQuant; papers' learned-and-vector page, 4.2). The published search rounds |w|^a and goes by
//              Nelder-Mead; here weights go to the nearest level, in steps of 0.1 from 0.2 to 1.2 and then of 0.01
//              around the best. With -mse exponent and clip are searched together (NUPES).
//   table      k-means of y = w / s with masses s^2, s the group's scale under the table before, in turn with the
//              search of scales, as long as that lowers the squared error. Levels are integers of 8 bits, the greatest
//              127, as in-register tables of kernels hold them.
//
// Sums are estimated from evenly spaced rows, each counting for those that it stands for: 2^16 weights of a fit (2^20
// where no scales are searched), or two rows of each matrix where these are more.
//
// Goals: the same fit for any number of threads. Non-goals: scales that rows of a sample do not have (-tensor, -block);
// weights of the loss (round/nupes learns exponents from data), rewrites of the weights that need data.

#include <optional>
#include <span>

#include "base/memory/row_source.h"
#include "base/threads.h"
#include "format/table/fitted_table.h"
#include "round/target.h"

namespace bitloom {

/// What the storage's format is to be fitted by; nullopt where its levels are known.
std::optional<FitRequest> fit_request(const Storage& storage);

/// The target with its format fitted to `matrices`, which share it. Rows with weights that are not finite are left out:
/// rounding says where they are. Of a storage in a frame the fit is to normal weights in rows as long as the matrices',
/// which is what a frame makes of any. A target without a fit request comes back as it is.
RoundingTarget fitted_target(const RoundingTarget& target, std::span<const RowSource* const> matrices,
                             ThreadPool& threads);

}  // namespace bitloom
