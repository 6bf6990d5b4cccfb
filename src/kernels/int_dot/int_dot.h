#pragma once
// Products of a matrix of small integers, as it lies in its file, with one or several vectors.
//
//   y[t, r] = sum_g s[r / group_rows, g] * sum_{c in g} level(r, c) * x[t, c]          t < tokens, first <= r < last
//
// W [rows, cols]: two's complement codes of 4 or 8 bits, bitstream rows (packing/bitstream.h), so level(r, c) is the
// code with its sign extended. Group g of a row is its columns [g group, (g + 1) group), the last may be shorter;
// group_rows rows share their scales. Row r of the product is row order[r] of W where there is an order.
//
// Two kinds of input: kF32 takes x as it is and accumulates in fp32; kInt8 takes it in blocks of kInt8Block columns,
//   x[t, c] = block_scales[t, c / 32] * x8[t, c],    x8 in -127..127, zero beyond cols,
// sums integers within a block and accumulates blocks in fp32.
//
// Goals: no copy of the weights; every listed kernel held to reference.cc. Non-goals: many tokens (decode a tile and
// use sgemm), zero points, other grids.

#include <cstddef>
#include <cstdint>
#include <span>

#include "base/cpu_features.h"

namespace bitloom {

enum class ScaleKind { kF32, kF16, kBF16 };
enum class DotInput { kF32, kInt8 };

inline constexpr int64_t kInt8Block = 32;

/// The matrix: pointers into what a file holds.
struct IntRows {
  const std::byte* codes = nullptr;   // [rows, row_bytes]
  const std::byte* scales = nullptr;  // [ceil(rows / group_rows), ceil(cols / group)] of scale_kind, little-endian
  const int64_t* order = nullptr;     // [rows], or null: rows as stored
  int64_t cols = 0, row_bytes = 0;
  int64_t group = 0, group_rows = 1;
  int64_t scale_row_bytes = 0;
  ScaleKind scale_kind = ScaleKind::kF16;
};

/// Rows [first, last) of a product. Only the pointers of the kernel's kind of input are read.
struct IntDotCall {
  IntRows w;
  int64_t first = 0, last = 0, tokens = 1;
  const float* x = nullptr;  // [tokens, x_stride], kF32
  int64_t x_stride = 0;
  const int8_t* x8 = nullptr;           // [tokens, x8_stride], kInt8; x8_stride = cols rounded up to a block
  const float* block_scales = nullptr;  // [tokens, x8_stride / 32]
  int64_t x8_stride = 0;
  float* y = nullptr;  // [tokens, y_stride], element (t, r) at t * y_stride + r
  int64_t y_stride = 0;
};

using IntDotKernel = void(const IntDotCall& call);

/// One row of the list that dispatch, tests and benchmarks share.
struct IntDotEntry {
  const char* name;
  IntDotKernel* kernel;
  Isa isa;
  int bits;
  DotInput input;
  int64_t group_multiple;  // it serves groups of a multiple of this many columns, and groups of whole rows
};

/// All kernels of this build, in the order of preference.
std::span<const IntDotEntry> int_dot_kernels();

/// Whether the kernel can serve such groups.
inline bool serves(const IntDotEntry& entry, int64_t group, int64_t cols) {
  return group % entry.group_multiple == 0 || group >= cols;
}

/// The first kernel for these codes, input and groups that `isa` or a lower one allows; null when there is none.
const IntDotEntry* find_int_dot(Isa isa, int bits, DotInput input, int64_t group, int64_t cols);

}  // namespace bitloom
