#pragma once
// Products of a matrix of small integers, as it lies in its file, with one or several vectors.
//
//   y[t, r] = f sum_g s[r', g] sum_{c in g} (level(r, c) - zero(r', g)) x[t, c]     t < tokens, first <= r < last
//
// W [rows, cols]: codes of 2 to 8 bits in bitstream rows (packing/bitstream.h), signs of 1 bit, codes of 1 to 6 bits
// that differ by column, or ggml's blocks (CodeKind). A code's level is the integer whose two's complement it is, or
// what a table says; where there are zero points, codes or numbers (real_zeros), it is the code itself. Group g of a
// row is its columns [g group, (g + 1) group), the last may be shorter; r' = r / group_rows: so many rows share their
// scales. f is one number for the matrix. Row r of the product is row order[r] of W where there is an order.
//
// Kernels differ in how they take x. kF32: as it is. kInt8 and kInt24: as integers of 8 or 24 bits under a scale per 32
// columns (rounded_input.h), whose products with levels are summed exactly within lanes of 4, 8 or 16 columns and in
// fp32 beyond. 24 bits stand for fp32: half a step of the block's largest value is 2^-24 of it.
//
// Goals: no copy of the weights; every listed kernel held to reference.cc. Non-goals: many tokens (int_gemm/ with 8-bit
// inputs, else sgemm of decoded tiles), levels that are no integers.

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "base/simd/cpu_features.h"
#include "kernels/int_dot/rounded_input.h"

namespace bitloom {

/// kE8M0: 2^(byte - 127); kE4M3: FP8 E4M3FN; kSecond: codes (SecondLevel).
enum class ScaleKind { kF32, kF16, kBF16, kE8M0, kE4M3, kSecond };
/// Bytes of one scale; of kSecond, which are bits, 0.
constexpr int64_t scale_bytes(ScaleKind kind) {
  return kind == ScaleKind::kSecond                            ? 0
         : kind == ScaleKind::kF32                             ? 4
         : kind == ScaleKind::kF16 || kind == ScaleKind::kBF16 ? 2
                                                               : 1;
}

/// How codes lie: bitstream rows of integers, or of what a table says; of signs (levels -1 and 1); of integers whose
/// bits differ by column (CodeRun), always with real_zeros; or ggml's blocks, which hold their scales
/// (io/ggml/ggml_types.h) and have neither zeros nor scales beside them.
enum class CodeKind {
  kInteger,
  kTable,
  kSign,
  kMixed,
  kQ8_0,
  kQ4_0,
  kQ4_1,
  kQ5_0,
  kQ5_1,
  kIQ4_NL,
  kMXFP4,
  kQ2_K,
  kQ3_K,
  kQ4_K,
  kQ5_K,
  kQ6_K,
  kIQ4_XS
};
/// ggml's types by name: bits of a code, columns that share a scale, columns and bytes of a block.
struct BlockKind {
  std::string_view name;
  CodeKind codes;
  int bits;
  int64_t group, columns, bytes;
};
inline constexpr BlockKind kBlockKinds[] = {
    {"Q8_0", CodeKind::kQ8_0, 8, 32, 32, 34},       {"Q4_0", CodeKind::kQ4_0, 4, 32, 32, 18},
    {"Q4_1", CodeKind::kQ4_1, 4, 32, 32, 20},       {"Q5_0", CodeKind::kQ5_0, 5, 32, 32, 22},
    {"Q5_1", CodeKind::kQ5_1, 5, 32, 32, 24},       {"IQ4_NL", CodeKind::kIQ4_NL, 4, 32, 32, 18},
    {"MXFP4", CodeKind::kMXFP4, 4, 32, 32, 17},     {"Q2_K", CodeKind::kQ2_K, 2, 16, 256, 84},
    {"Q3_K", CodeKind::kQ3_K, 3, 16, 256, 110},     {"Q4_K", CodeKind::kQ4_K, 4, 32, 256, 144},
    {"Q5_K", CodeKind::kQ5_K, 5, 32, 256, 176},     {"Q6_K", CodeKind::kQ6_K, 6, 16, 256, 210},
    {"IQ4_XS", CodeKind::kIQ4_XS, 4, 32, 256, 136},
};
/// Whether groups add something whatever their codes, so that a product needs sums of the input's groups.
constexpr bool has_minimums(CodeKind kind) {
  return kind == CodeKind::kQ4_1 || kind == CodeKind::kQ5_1 || kind == CodeKind::kQ2_K || kind == CodeKind::kQ4_K ||
         kind == CodeKind::kQ5_K;
}

/// Whether codes are bitstream rows.
constexpr bool is_bitstream(CodeKind kind) { return kind <= CodeKind::kMixed; }

/// Scales and zero points that are codes: low + step code. Rows [b rows, (b + 1) rows) share low and step of a group.
struct SecondLevel {
  const std::byte* numbers = nullptr;  // F16 [blocks, groups, 4]: low and step of scales, low and step of zero points
  int bits = 0;                        // of a code, 1 to 8; 0: none
  int64_t rows = 1, row_bytes = 0;     // of a block; bytes of one
};

/// Columns of kMixed codes: the byte of a row at which they begin, and their bits, 1 to kMostMixedBits.
struct CodeRun {
  int32_t start, bits;
};
inline constexpr int64_t kRunColumns = 32;
inline constexpr int kMostMixedBits = 6;
/// What kernels take from such codes, so that sums stay near those of levels.
inline constexpr int kMixedMiddle = 4;

/// The matrix: pointers into what a file holds.
struct IntRows {
  const std::byte* codes = nullptr;   // [rows, row_bytes]
  const std::byte* scales = nullptr;  // [scale_rows, ceil(cols / group)] of scale_kind, little-endian
  const std::byte* zeros = nullptr;   // [scale_rows, zero_row_bytes], bitstream rows of codes; null: all 0
  bool real_zeros = false;            // zeros are numbers stored as scales are, kF16 or kSecond
  const int8_t* levels = nullptr;     // [2^bits] by code; null: two's complement, or with zero points the code itself
  const int64_t* order = nullptr;     // [rows], or null: rows as stored
  int64_t rows = 0, cols = 0, row_bytes = 0;
  int64_t group = 0, group_rows = 1, scale_rows = 0;
  int64_t scale_row_bytes = 0, zero_row_bytes = 0;
  ScaleKind scale_kind = ScaleKind::kF16;
  float factor = 1.0f;
  SecondLevel second;             // kSecond
  const CodeRun* runs = nullptr;  // [ceil(cols / kRunColumns)], kMixed
};

/// Rows [first, last) of a product. Only what the kernel's kind of input needs is read.
struct IntDotCall {
  IntRows w;
  int64_t first = 0, last = 0, tokens = 1;
  const float* x = nullptr;  // [tokens, x_stride], kF32
  int64_t x_stride = 0;
  RoundedInput rounded;  // kInt8, kInt24
  const float* group_sums =
      nullptr;         // [tokens, ceil(cols / group)]: the rounded input's, where there are zero points or minimums
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
  CodeKind codes;
  DotInput input;
  InputOrder order;        // of the rounded input
  int64_t group_multiple;  // it serves groups of a multiple of this many columns, and groups of whole rows
};

/// All kernels of this build, in the order of preference.
std::span<const IntDotEntry> int_dot_kernels();

/// Whether the kernel can serve such groups.
inline bool serves(const IntDotEntry& entry, int64_t group, int64_t cols) {
  return group % entry.group_multiple == 0 || group >= cols;
}

/// What a matrix and a caller ask of a kernel.
struct IntDotNeeds {
  int bits = 4;
  CodeKind codes = CodeKind::kInteger;
  bool exact = true;  // kF32 or kInt24; else kInt8
  int64_t group = 0, cols = 0;
};
/// The first kernel that serves them and that `isa` or a lower one allows; null when there is none.
const IntDotEntry* find_int_dot(Isa isa, const IntDotNeeds& needs);

}  // namespace bitloom
