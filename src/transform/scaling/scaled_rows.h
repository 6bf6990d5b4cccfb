#pragma once
// Matrices changed as they are decoded, so that a rewritten model takes no more memory than the one it is made of.

#include <string>
#include <vector>

#include "base/memory/row_source.h"

namespace bitloom {

/// Element (r, c) is row_factors[r] * source(r, c) * col_factors[c], multiplied in fp64 and rounded to fp32 once. Empty
/// factors are ones; others have the source's number of rows and columns (asserted). Storage: "scaled BF16".
RowSourcePtr scaled_rows(RowSourcePtr source, std::vector<double> row_factors, std::vector<double> col_factors);

/// "scaled BF16" of "BF16"; a word that already stands there is not said again.
std::string changed_storage(const std::string& word, const std::string& storage);

}  // namespace bitloom
