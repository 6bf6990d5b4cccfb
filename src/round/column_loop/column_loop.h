#pragma once
// The one loop behind error feedback (papers' column-wise page, 1.4): visit the columns of W in order, let a policy
// choose each column's values, and feed its error forward into the columns not yet visited.
//
//   e_j = (w_j - q_j) / U_jj;   w_k -= e_j U_jk  for k > j          w_j the compensated column
//
// The columns are data [columns, rows] here (W transposed, so a column is contiguous), a tile of rows at a time where
// the policy's rows are separable, else all of them. Almost all work is sgemm: what earlier columns owe a span of
// columns is paid at once when the span begins (left-looking), inside a span block by block.

#include <cstdint>

#include "base/threads.h"
#include "round/column_loop/column_policy.h"

namespace bitloom {

/// What the loop needs of the data, in the order of the loop.
struct ColumnFeedback {
  int64_t columns = 0;
  const float* u = nullptr;           // U [columns, columns]; only the upper triangle is read
  const float* correction = nullptr;  // P [columns, columns], or null; only above the diagonal is read
};

/// With a correction P (round/gptq/correction.h), what follows a column is moved by what the column's own input lacks,
/// too:
///
///   w_k += w~_j P_jk  for k > j          w~_j: column j as it was when its values were chosen
///
/// in leaves, blocks and spans alike. (The published code of GPTAQ takes w~_j inside a block of 128 columns, but q_j
/// for the columns behind the block, since the block has been overwritten by then; its result depends on the block
/// size.)
///
/// w [columns, rows] is replaced by the w~_j; errors [columns, rows] receives e_j. Returns sum of e_j^2 = tr((W' - Q)
/// H_d (W' - Q)^T), in double, over this tile, W' = W + W~ P: the weights themselves without a correction. `threads`:
/// for many rows at once, whose products are shared out; the same bytes for any number of them.
double column_loop(const ColumnFeedback& feedback, float* w, float* errors, int64_t rows, ColumnPolicy& policy,
                   ThreadPool* threads = nullptr);

/// The definition: one column at a time, each error spread over all later columns at once. Same contract, double
/// inside.
double column_loop_reference(const ColumnFeedback& feedback, float* w, float* errors, int64_t rows,
                             ColumnPolicy& policy);

}  // namespace bitloom
