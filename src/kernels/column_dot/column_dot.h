#pragma once
// Products of a matrix of column codebooks, as it lies in its file, with one or several vectors.
//
//   y[t, r] = sum_c table_c[code(r, c)] x[t, c]          t < tokens, 16 first <= r < 16 last
//
// laid out as packing/column_layout.h says. Products of x_c with a column's table are made once for
// all rows; nibbles of codes look up their sums (kernels/nibble_table.h), in 16 or in 24 bits; columns beside them
// look up products in fp32. A row's sum is fp32, word after word, whatever the rows beside it.
//
// Goals: the speed of memory at 2 bits, no copy of the weights. Non-goals: many tokens (decode rows and use sgemm).

#include <cstddef>
#include <cstdint>
#include <span>

#include "kernels/dot_call.h"
#include "packing/column_layout.h"

namespace bitloom {

struct ColumnTables {
  const std::byte* codes = nullptr;   // [ceil(rows / 16), layout->tile_bytes]
  const std::byte* tables = nullptr;  // F16 [layout->levels], in the layout's order
  const ColumnLayout* layout = nullptr;
  int64_t rows = 0, cols = 0;
};

/// Bytes of scratch memory, at an address divisible by 64.
int64_t column_dot_scratch(const ColumnTables& w);

/// Counted in tiles of 16 rows; exact: 24 bits, else 16.
using ColumnDotCall = DotCall<ColumnTables>;
using ColumnDotKernel = void(const ColumnDotCall& call);
using ColumnDotEntry = DotEntry<ColumnTables>;

/// All of this build, in the order of preference.
std::span<const ColumnDotEntry> column_dot_kernels();
/// The first that `isa` or a lower one allows.
const ColumnDotEntry& find_column_dot(Isa isa);

}  // namespace bitloom
