#pragma once
// Products of a BF16 matrix, as it lies in its file, with many vectors of BF16, by dot products of pairs.
//
//   y[t, r] = sum_c W[order[r], c] q[t, c]          t < tokens, first <= r < last
//
// W [rows, cols] of BF16, little-endian; q is the input rounded to BF16, nearest even; y and sums fp32, in an order
// that never changes and that is the processor's within a pair of columns. As the instructions have it, numbers below
// 2^-126 count as zeros of their sign, in W, in q and as sums.
//
// kBf16Panel rows by pairs of columns are a panel; kBf16PieceRows rows of as many columns as half of the second cache
// holds stay there while all tokens pass them, whose blocks' sums stay in registers.
//
// Goals: the processor's peak of BF16 products; no copy of the weights but these columns. Non-goals: few tokens
// (dense_dot), processors without such instructions, where sgemm of decoded tiles is as fast.

#include <cstddef>
#include <cstdint>
#include <span>

#include "base/simd/cpu_features.h"

namespace bitloom {

inline constexpr int64_t kBf16PanelRows = 64;
/// Rows that should be in one call at least.
inline constexpr int64_t kBf16PieceRows = 2 * kBf16PanelRows;
/// Columns are padded to a multiple of it.
inline constexpr int64_t kBf16PaddedCols = 32;
/// Tokens of a block; the last of an input may have 2 or 4.
inline constexpr int64_t kBf16TokenBlock = 6;
constexpr int64_t bf16_token_block(int64_t tokens_left) {
  return tokens_left <= 2 ? 2 : tokens_left <= 4 ? 4 : kBf16TokenBlock;
}

/// A rounded input. Blocks of T tokens lie one after the other, in each the tokens side by side: block i begins at i
/// kBf16TokenBlock stride. Padding is zeros.
struct Bf16Input {
  uint16_t* pairs = nullptr;  // [stride / 2, T, 2]
  int64_t stride = 0;         // cols rounded up to kBf16PaddedCols
};
constexpr int64_t bf16_input_stride(int64_t cols) {
  return (cols + kBf16PaddedCols - 1) / kBf16PaddedCols * kBf16PaddedCols;
}
/// Numbers of an input, padding included.
constexpr int64_t bf16_input_size(int64_t tokens, int64_t cols) {
  const int64_t whole = (tokens - 1) / kBf16TokenBlock * kBf16TokenBlock;
  return (whole + bf16_token_block(tokens - whole)) * bf16_input_stride(cols);
}

/// Rounds block `block` of x [tokens, cols] and writes its part of `out`.
void round_to_bf16(const float* x, int64_t tokens, int64_t cols, int64_t block, const Bf16Input& out);

struct Bf16GemmCall {
  const std::byte* w = nullptr;    // [rows, cols]
  const int64_t* order = nullptr;  // [rows], or null: rows as stored
  int64_t cols = 0;
  int64_t first = 0, last = 0, tokens = 0;
  Bf16Input x;
  std::byte* scratch = nullptr;  // bf16_gemm_scratch(cols), aligned to 64; of this call alone
  float* y = nullptr;            // [tokens, y_stride], element (t, r) at t * y_stride + r
  int64_t y_stride = 0;
};

/// Columns that are unpacked at a time, a multiple of kBf16PaddedCols, by this machine's caches; no result depends on
/// it.
int64_t bf16_gemm_cols(int64_t cols);
/// Bytes.
inline int64_t bf16_gemm_scratch(int64_t cols) { return 2 * kBf16PieceRows * bf16_gemm_cols(cols); }

using Bf16GemmKernel = void(const Bf16GemmCall& call);

/// One row of the list that dispatch, tests and benchmarks share.
struct Bf16GemmEntry {
  const char* name;
  Bf16GemmKernel* kernel;
  Isa isa;
};

/// All of this build, in the order of preference.
std::span<const Bf16GemmEntry> bf16_gemm_kernels();
/// The first that `isa` or a lower one allows; null when there is none.
const Bf16GemmEntry* find_bf16_gemm(Isa isa);

}  // namespace bitloom
