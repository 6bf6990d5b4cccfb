#pragma once
// Products of a matrix of small integers, as it lies in its file, with many vectors of 8-bit integers.
//
//   y[t, r] = f sum_b s[r, b] a[t, b] (sum_{c in b} (level(r, c) - zero(r, b)) q[t, c])     t < tokens, first <= r <
//   last
//
// W and f as in int_dot.h; b are blocks of 16 or 32 columns, which never cross a group of W; x[t, c] = a[t, b] q[t, c]
// is the input rounded to 8 bits under a scale per kInputBlock columns (round_input.h). Sums within blocks are exact,
// in fp32 beyond, in an order that never changes (panel_plan.h): every kernel of a kind of codes gives the same bits.
//
// Rows are unpacked to bytes a panel of kPanelRows at a time, which stays in the caches while all tokens pass it;
// tokens come in blocks whose sums stay in registers.
//
// Goals: the processor's peak of 8-bit products; no copy of the weights but a panel. Non-goals: inputs of more than 8
// bits; groups that are no multiple of 16 columns, of mixed bits of 64.

#include <cstddef>
#include <cstdint>
#include <span>

#include "base/simd/cpu_features.h"
#include "kernels/int_dot/int_dot.h"

namespace bitloom {

inline constexpr int64_t kPanelRows = 16;
/// Tokens of a block; the last of an input may have one of the smaller sizes.
inline constexpr int64_t kTokenBlock = 14;
constexpr int64_t token_block(int64_t tokens_left) { return tokens_left <= 4 ? 4 : tokens_left <= 8 ? 8 : kTokenBlock; }
/// Room for an input: tokens, padding included.
constexpr int64_t padded_tokens(int64_t tokens) {
  const int64_t whole = (tokens - 1) / kTokenBlock * kTokenBlock;
  return whole + token_block(tokens - whole);
}

/// Columns lie by eights, the even ones first, as codes of four bits come apart.
constexpr int64_t panel_column(int64_t c) { return c / 8 * 8 + c % 2 * 4 + c % 8 / 2; }

/// A rounded input. Blocks of T tokens lie one after the other, in each the tokens side by side: what belongs to block
/// i of kTokenBlock tokens begins at i kTokenBlock times the columns of an array. Padding is zeros.
struct PanelInput {
  int8_t* digits = nullptr;                        // [stride / 4, T, 4], columns as panel_column() says
  float* scales = nullptr;                         // [stride / 32, T]
  int32_t *sums16 = nullptr, *sums32 = nullptr;    // [stride / 16, T], [stride / 32, T]: -128 sum of q
  float *values16 = nullptr, *values32 = nullptr;  // the same: sums of x as rounded
  int64_t stride = 0;                              // cols rounded up to kInputPadding
};

/// Rounds block `block` of x [tokens, cols] and writes its part of `out`. `scales` [tokens], or null: of
/// round_input.h's scales given for a token's blocks.
void round_token_block(const float* x, int64_t tokens, int64_t cols, int64_t block, const PanelInput& out,
                       const float* scales = nullptr);

/// Rows [first, last) of a product.
struct IntGemmCall {
  IntRows w;
  int64_t first = 0, last = 0, tokens = 0;
  PanelInput x;
  std::byte* scratch = nullptr;  // panel_bytes(of rows, cols), aligned to 64; of this call alone. Of all rows; of
                                 // kPanelRows where the tokens are a single block
  float* y = nullptr;            // [tokens, y_stride], element (t, r) at t * y_stride + r
  int64_t y_stride = 0;
};
constexpr int64_t panel_bytes(int64_t rows, int64_t cols) {
  const int64_t wide = (cols + kInputPadding - 1) / kInputPadding * kInputPadding;
  return (rows + kPanelRows - 1) / kPanelRows * kPanelRows * (wide + 2 * (wide / 16) * int64_t{sizeof(float)});
}

using IntGemmKernel = void(const IntGemmCall& call);

/// One row of the list that dispatch, tests and benchmarks share.
struct IntGemmEntry {
  const char* name;
  IntGemmKernel* kernel;
  Isa isa;
  int bits;
  CodeKind codes;
};

/// All kernels of this build, in the order of preference.
std::span<const IntGemmEntry> int_gemm_kernels();

/// The first for such codes in groups of `group` that `isa` or a lower one allows; null when there is none.
const IntGemmEntry* find_int_gemm(Isa isa, int bits, CodeKind codes, int64_t group, int64_t cols);

}  // namespace bitloom
