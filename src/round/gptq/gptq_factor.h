#pragma once
// What error feedback needs of the data: the triangular factor of the damped second moment, in the order in which
// columns are visited. Shared by all matrices that read the same input.
//
//   H = X^T X / tokens;  dead columns: H_jj = 0, then H_jj := 1 and their weights count as 0
//   H_d = P (H + lambda I) P^T,  lambda = damping * mean of diag H
//   H_d^-1 = U^T U, U upper triangular        (Frantar et al., GPTQ, 2023; papers' column-wise page, 1.3)
//
// and, when the inputs' own error is to be compensated, P of round/gptq/correction.h.

#include <cstdint>
#include <vector>

#include "base/threads.h"
#include "observe/moment/cross_moment.h"
#include "observe/moment/second_moment.h"

namespace bitloom {

/// The order in which error feedback visits columns.
enum class ColumnOrder {
  kNatural,
  kActivation,  // by falling H_jj ("act-order"); with groups, their scales must be fixed beforehand
  kGroupAware,  // columns inside each group by falling H_jj, groups by their greatest H_jj: no cost when decoding
};

/// Recipes call it "gptq", and "gptaq" with a correction of a quarter.
struct GptqRounding {
  double damping = 0.01;
  ColumnOrder order = ColumnOrder::kGroupAware;
  bool static_groups = false;  // group scales from the original weights, not from compensated ones
  double correction = 0;       // GPTAQ's alpha: how much of the inputs' own error is compensated; 0: GPTQ
  bool guided = false;         // H weighs tokens by their outputs' gradients (observe/moment/guided_moments.h)
  bool operator==(const GptqRounding&) const = default;
};

struct GptqFactor {
  int64_t channels = 0;
  std::vector<float> u;               // [channels, channels]
  std::vector<float> correction;      // P [channels, channels], or empty
  std::vector<int64_t> order;         // position -> column
  std::vector<float> diagonal;        // H_jj by column, before damping, dead ones 0
  std::vector<int64_t> dead_columns;  // columns that no token ever used
  double damping = 0;                 // the value that worked
  int64_t tokens = 0;

  /// By column, 1 / U_jj^2: what an error in it costs when the columns after it compensate for it; dead ones 0.
  std::vector<float> error_costs() const;
  /// What was added to the diagonal: damping * mean of diag H, dead columns counted as 1.
  double lambda() const;
};

/// `group`: columns per group, for kGroupAware; 0 or at least all channels: one group. `cross`: of the same input;
/// asked for when options.correction is not 0, else unused and may be null.
/// Error(kFailed) when no damping below 1 gives a positive definite matrix, when no token was seen, or when the cross
/// moment is missing or of another number of channels. Memory: one fp32 matrix [channels, channels], while factoring
/// two; with a correction one more.
GptqFactor make_gptq_factor(const SecondMoment& moment, const CrossMoment* cross, const GptqRounding& options,
                            int64_t group, ThreadPool& threads);

/// The order alone: what kActivation and kGroupAware make of a diagonal. Ties keep the lower column first; columns
/// beyond the last whole group stay last.
std::vector<int64_t> column_order(const std::vector<float>& diagonal, ColumnOrder order, int64_t group);

}  // namespace bitloom
