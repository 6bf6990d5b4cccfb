#pragma once
// Scales and codebooks of fixed codes, to the least loss L of additive_code.h, of which both are quadratic (AQLM learns
// them by Adam; papers' learned page, 1.10, which is a seventh of the work).
//
//   scales      s' = s - (u R) / (u H u) for each row, u its sums of vectors
//   codebooks   conjugate gradients on  A x = -sum over the uses of an entry of s R_j,
//               A p = sum over its uses of s (s sum p) H_j,  preconditioned by each entry's own block of A
//
// Goals: the same bits for any number of threads; L never rises, but for rounding. Full convergence buys nothing: codes
// are searched again.

#include <cstdint>
#include <span>
#include <vector>

#include "base/threads.h"
#include "round/vector/additive_code.h"

namespace bitloom {

/// Each scale at its optimum, where that is above 0 and finite. weights_h: W H; residual [rows, width] = R follows.
void fit_scales(AdditiveCode& code, std::span<const float> weights_h, std::vector<float>& residual,
                ThreadPool& threads);

/// The codebooks after `iterations` of conjugate gradients. residual: R, afterwards of no meaning, as is `error`,
/// scratch of the same size. Entries without a use stay, and all where one would not be finite. Needs rows * groups
/// that fit 32 bits.
void fit_codebooks(AdditiveCode& code, const LayerMoment& moment, int64_t iterations, std::vector<float>& error,
                   std::vector<float>& residual, ThreadPool& threads);

}  // namespace bitloom
