#pragma once
// The column policy of column codebooks (CLAQ; papers' column-wise page, section 3): k-means over a column's
// compensated weights makes its table, and every weight takes its nearest level. All rows share a column's table, so
// the loop gets all of them at once.
//
//   w_ij = r_i x_ij;   q_ij = r_i table_j[code_ij], or r_i (table_j[code_ij] + v_ij) where the weight is kept
//
// with r a scale of the row (1 without row scales): k-means then weighs x_ij by r_i^2, which makes the column's squared
// error least (3.9). Kept weights are zero in error up to the rounding of v to fp16; the table is made without them.
//
// Of a broken width, the columns that k-means on the original weights serves worst get the greater number of bits
// (round/kmeans/kmeans.h), unless a plan says otherwise.

#include <functional>
#include <memory>
#include <vector>

#include "format/families/codebook/codebook_matrix.h"
#include "round/column_loop/column_policy.h"

namespace bitloom {

/// A codebook with a table per column and no side terms.
bool is_column_codebook(const Storage& storage);
std::unique_ptr<ColumnPolicies> make_codebook_policies(const ColumnProblem& problem, ThreadPool& threads);

/// A weight beside the table: what is added to its level, a number of fp16.
struct KeptWeight {
  uint32_t row = 0;
  float added = 0;
};

/// What the loop chose, by column and in the coordinates of x.
struct ColumnCodebooks {
  std::vector<CodebookColumn> columns;
  std::vector<std::vector<KeptWeight>> kept;  // rows ascending
};

/// How many weights of a column are kept, from the top and from the bottom of its order; or so many of the greatest
/// magnitude.
struct KeptCounts {
  int64_t top = 0, bottom = 0, greatest = 0;
};

struct CodebookPlan {
  std::vector<int> widths;        // bits, by column
  std::vector<KeptCounts> kept;   // by column; empty: none
  bool tables_fit_kept = false;   // k-means over all weights, kept ones too, as CLAQ's code does
  std::vector<float> row_scales;  // [rows], numbers of fp16 above 0; empty: none
  // Not null: tables of sixteen columns are fitted at once, by these threads, to the columns as compensated before the
  // sixteen, whose weights are gathered (GatheredPoints); each is then moved by three turns of Lloyd's algorithm on its
  // column as its turn comes.
  ThreadPool* fit_ahead = nullptr;
  // Called with what the loop chose; may change levels, codes and kept weights. See StoringPolicy::refine().
  std::function<void(const LoopResult& result, ColumnCodebooks& chosen)> refine;
};
/// `storage`: -col, with outliers where weights are kept and a frame of out-scales where rows have scales.
std::unique_ptr<ColumnPolicies> make_codebook_policies(const Storage& storage, const std::vector<int64_t>& order,
                                                       int64_t rows, CodebookPlan plan);

}  // namespace bitloom
