#pragma once
// OneBit's sign-value-independent decomposition as a rounding (Xu et al. 2024, 2402.11295, 3.2; papers' column-wise
// page, 5.2): signs, and the best product of a row scale and a column scale for the magnitudes.
//
//   W ~ S * (g h^T),   S = sign(W), 0 counting as +;   g h^T the leading singular pair of |W|
//
// found by power iteration, whose vectors are not negative, as |W| is not. Without the training that OneBit goes on
// with, a model of such matrices says nothing; it is where training starts.
//
// With `feedback`, beyond the paper, signs are chosen column by column for compensated weights, g h^T is that of |W|
// with errors of column j weighed by 1 / U_jj^2, and row scales are refitted to the outputs at the end:
//
//   g_r <- g_r (w_r H q_r) / (q_r H q_r),   q_r the row as it is stored
//
// Goals: storage "sign_rank1". No data without feedback. Rows are separable.

#include <vector>

#include "round/gptq/gptq_factor.h"
#include "round/round_matrix.h"
#include "round/rounding.h"

namespace bitloom {

/// Recipes call it "svid".
struct SvidRounding {
  int64_t iterations = 10;
  bool feedback = false;
  double damping = 0.01;
  ColumnOrder order = ColumnOrder::kActivation;
  bool operator==(const SvidRounding&) const = default;
};

extern const RoundingRow kSvidMethod;
Needs needs_of(const SvidRounding& options);
bool rounds_onto(const SvidRounding& options, const Storage& storage);
Storage storage_by(const SvidRounding& options, Storage wanted);
RoundingCost cost_of(const SvidRounding& options, const RoundingShape& shape);
/// Error(kRefused) for weights that are not finite.
Rounded round_by(const SvidRounding& options, const RoundingProblem& problem);

/// g [rows] and h [cols], of equal norms, for W [rows, cols]; errors of column j count costs[j] times (empty: all
/// alike). A column that costs nothing has the mean of the others' ratios to W.
struct RankOne {
  std::vector<float> row_scales, col_scales;
};
RankOne leading_pair(const std::vector<float>& w, int64_t rows, int64_t cols, const std::vector<float>& costs,
                     int64_t iterations, ThreadPool& threads);

}  // namespace bitloom
