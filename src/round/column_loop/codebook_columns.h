#pragma once
// The column policy of column codebooks (CLAQ; papers' column-wise page, section 3): when a column's turn comes,
// k-means over its compensated weights makes its table, and every weight takes its nearest level. All rows share a
// column's table, so the loop gets all of them at once.
//
// Of a broken width, the columns that k-means on the original weights serves worst get the greater number of bits
// (round/kmeans/kmeans.h).

#include <memory>

#include "round/column_loop/column_policy.h"

namespace bitloom {

/// A codebook with a table per column and no side terms.
bool is_column_codebook(const Storage& storage);
std::unique_ptr<ColumnPolicies> make_codebook_policies(const ColumnProblem& problem, ThreadPool& threads);

}  // namespace bitloom
