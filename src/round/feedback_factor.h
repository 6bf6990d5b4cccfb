#pragma once
// What error feedback needs of the data: the triangular factor of the damped second moment, in the order in which
// columns are visited. Shared by all matrices that read the same input.
//
//   H = X^T X / tokens;  dead columns: H_jj = 0, then H_jj := 1 and their weights count as 0
//   H_d = P (H + lambda I) P^T,  lambda = damping * mean of diag H
//   H_d^-1 = U^T U, U upper triangular        (Frantar et al., GPTQ, 2023; papers' column-wise page, 1.3)

#include <cstdint>
#include <vector>

#include "base/threads.h"
#include "observe/second_moment.h"
#include "round/rounding.h"

namespace bitloom {

struct FactorOptions {
  double damping = 0.01;
  double damping_step = 0.01;  // added while the factorization fails
  ColumnOrder order = ColumnOrder::kNatural;
  int64_t group = 0;  // columns per group, for kGroupAware; 0: one group
};

struct FeedbackFactor {
  int64_t channels = 0;
  std::vector<float> u;               // [channels, channels]
  std::vector<int64_t> order;         // position -> column
  std::vector<float> diagonal;        // H_jj by column, before damping, dead ones 0
  std::vector<int64_t> dead_columns;  // columns that no token ever used
  double damping = 0;                 // the value that worked
  int64_t tokens = 0;
};

/// Error(kFailed) when no damping below 1 gives a positive definite matrix, or when no token was seen.
/// Memory: two fp32 matrices [channels, channels].
FeedbackFactor make_feedback_factor(const SecondMoment& moment, const FactorOptions& options, ThreadPool& threads);

/// The order alone: what kActivation and kGroupAware make of a diagonal. Ties keep the lower column first; columns
/// beyond the last whole group stay last.
std::vector<int64_t> column_order(const std::vector<float>& diagonal, ColumnOrder order, int64_t group);

}  // namespace bitloom
