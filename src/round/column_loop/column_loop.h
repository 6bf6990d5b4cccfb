#pragma once
// The one loop behind error feedback (papers' column-wise page, 1.4): visit the columns of W in order, let a policy
// choose each column's values, and feed its error forward into the columns not yet visited.
//
//   e_j = (w_j - q_j) / U_jj;   w_k -= e_j U_jk  for k > j          w_j the compensated column
//
// The columns are data [columns, rows] here (W transposed, so a column is contiguous), a tile of rows at a time: rows
// do not depend on each other as long as the policy does not make them. Almost all work is sgemm: what earlier columns
// owe a span of columns is paid at once when the span begins (left-looking), inside a span block by block.

#include <cstdint>
#include <vector>

namespace bitloom {

/// How a column's values are chosen. One object serves one tile of rows.
class ColumnPolicy {
 public:
  virtual ~ColumnPolicy() = default;
  /// Columns per group of shared parameters that are fitted on compensated weights; 1 when there are none.
  virtual int64_t group() const = 0;
  /// A group starts at position `begin`; columns [end - begin, rows] hold its weights, compensated for all before it.
  virtual void begin_group(int64_t begin, int64_t end, const float* columns) = 0;
  /// The values that column `position` gets: w [rows] -> q [rows].
  virtual void quantize_column(int64_t position, const float* w, float* q) = 0;
};

/// What the loop needs of the data, in the order of the loop.
struct ColumnFeedback {
  int64_t columns = 0;
  const float* u = nullptr;  // U [columns, columns]; only the upper triangle is read
  const float* correction =
      nullptr;  // P [columns, columns] (round/gptq/correction.h), or null; only above the diagonal
};

/// With a correction P, what follows a column is moved by what the column's own input lacks, too:
///
///   w_k += w~_j P_jk  for k > j          w~_j: column j as it was when its values were chosen
///
/// in leaves, blocks and spans alike. (The published code of GPTAQ takes w~_j inside a block of 128 columns, but q_j
/// for the columns behind the block, since the block has been overwritten by then; its result depends on the block
/// size.)
///
/// w [columns, rows] is replaced by the w~_j; errors [columns, rows] receives e_j. Returns sum of e_j^2 = tr((W' - Q)
/// H_d (W' - Q)^T), in double, over this tile, W' = W + W~ P: the weights themselves without a correction.
double column_loop(const ColumnFeedback& feedback, float* w, float* errors, int64_t rows, ColumnPolicy& policy);

/// The definition: one column at a time, each error spread over all later columns at once. Same contract, double
/// inside.
double column_loop_reference(const ColumnFeedback& feedback, float* w, float* errors, int64_t rows,
                             ColumnPolicy& policy);

/// tr(E H_d E^T) for any E [columns, rows], destroyed: the loop with Q = 0, at its price.
double weighted_norm(const ColumnFeedback& feedback, float* e, int64_t rows);

}  // namespace bitloom
