#pragma once
// SpQR (Dettmers et al. 2023, 2306.03078; papers' column-wise page, section 6): error feedback onto small groups whose
// scales and zero points are codes themselves, and weights kept in fp16 where their error would cost too much.
//
//   t = threshold * mean over columns of var(w_j) / U_jj^2
//   a weight is kept when (w - q)^2 / U_jj^2 > t; scales are fitted without those whose leaving out gains more than t
//   (leave-one-out; round/column_loop/affine_columns.h)
//
// Beyond the authors' code, unless `parity` says otherwise: scales and zero points of the least weighted error, zero
// points refitted to the scales as rounded (there the range of the weights), weights left out of the fit one by one
// (there at once). Columns are visited group by group, since
// the authors' order by activations needs a stored permutation.
//
// Goals: storages "affineB-gN-sSxR" and affine ones without second-level scales. Rows are separable.

#include "round/gptq/gptq_factor.h"
#include "round/round_matrix.h"
#include "round/rounding.h"

namespace bitloom {

/// Recipes call it "spqr".
struct SpqrRounding {
  enum class Parity { kNone, kCode };
  double damping = 0.01;
  ColumnOrder order = ColumnOrder::kGroupAware;
  double threshold = 0.2;
  double most = 0.03;  // share of the weights that may be kept
  Parity parity = Parity::kNone;
  bool operator==(const SpqrRounding&) const = default;
};

extern const RoundingRow kSpqrMethod;
Needs needs_of(const SpqrRounding& options);
bool rounds_onto(const SpqrRounding& options, const Storage& storage);
/// Adds outliers.
Storage storage_by(const SpqrRounding& options, Storage wanted);
RoundingCost cost_of(const SpqrRounding& options, const RoundingShape& shape);
/// Error(kRefused) for weights that are not finite.
Rounded round_by(const SpqrRounding& options, const RoundingProblem& problem);

/// Bits per weight as the paper counts them (4.1): those of the storage, and 32 for each kept weight.
double spqr_published_bits(const Storage& storage, double kept_share);

}  // namespace bitloom
