#pragma once
// Greatest magnitudes of a matrix's rows and columns, which scales are made of. Decoded tile by tile.

#include <vector>

#include "base/memory/row_source.h"
#include "base/threads.h"

namespace bitloom {

/// [cols]: max over r of |w(r, c)|.
std::vector<float> column_absmax(const RowSource& w, ThreadPool& threads);
/// [rows]: max over c of |w(r, c)|.
std::vector<float> row_absmax(const RowSource& w, ThreadPool& threads);

}  // namespace bitloom
