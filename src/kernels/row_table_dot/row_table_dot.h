#pragma once
// Products of a matrix of codebooks whose tables belong to rows, to groups in rows or to the whole matrix, as it lies
// in its file, with one or several vectors.
//
//   y[t, r] = sum over groups g of sum over c in g of table_rg[code(r, c)] x[t, c]      t < tokens, first <= r < last
//
// W [rows, cols]: codes of 1 to 8 bits in bitstream rows (packing/bitstream.h). Levels are looked up and multiplied in
// fp32, in lanes whose order never changes.
//
// Goals: no copy of the weights. Non-goals: many tokens (decode rows and use sgemm).

#include <cstddef>
#include <cstdint>
#include <span>

#include "base/simd/cpu_features.h"

namespace bitloom {

struct RowTables {
  const std::byte* codes = nullptr;   // [rows, ceil(cols bits / 8)]
  const std::byte* tables = nullptr;  // F16 [rows / table_rows, ceil(cols / group), 2^bits]
  int bits = 0;
  int64_t rows = 0, cols = 0;
  int64_t table_rows = 1, group = 0;  // rows and columns that share a table
};

struct RowTableDotCall {
  RowTables w;
  int64_t first = 0, last = 0, tokens = 1;
  const float* x = nullptr;  // [tokens, cols]
  float* y = nullptr;        // [tokens, y_stride], element (t, r) at t * y_stride + r
  int64_t y_stride = 0;
};

using RowTableDotKernel = void(const RowTableDotCall& call);

struct RowTableDotEntry {
  const char* name;
  RowTableDotKernel* kernel;
  Isa isa;
  int64_t group_multiple;  // it serves groups of a multiple of this many columns, and groups of whole rows
};

/// All of this build, in the order of preference.
std::span<const RowTableDotEntry> row_table_dot_kernels();
/// The first that serves such groups and that `isa` or a lower one allows.
const RowTableDotEntry& find_row_table_dot(Isa isa, int64_t group, int64_t cols);

}  // namespace bitloom
