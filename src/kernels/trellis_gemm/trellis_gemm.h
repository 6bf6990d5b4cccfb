#pragma once
// Products of a matrix in trellis codes, as it lies in its file, with many vectors of 8-bit integers.
//
//   y[t, r] = scale sum_b a[t, b] (sum_{c in b} v(r, c) q[t, c])     t < tokens, rows of super-tiles [first, last)
//
// v as in trellis_dot.h; b are blocks of 32 columns, a super-tile's, and x[t, c] = a[t, b] q[t, c] is the input rounded
// to 8 bits (int_gemm.h). Sums within blocks are exact, those of a row fp32, a fused step for each block in their
// order: every kernel gives the same bits.
//
// kTrellisGemmCols columns of a row of super-tiles are decoded at a time, once for all tokens, and stay in the second
// cache while they pass; tokens come in blocks whose sums stay in registers. A value of T6V1 has nine bits: with
// instructions for products of bytes it is multiplied as the two that it is a sum of.
//
// Goals: the processor's peak of 8-bit products (half of it with T6V1); no copy of the weights but these columns.
// Non-goals: inputs of more than 8 bits; states of 12 bits.

#include <cstddef>
#include <cstdint>
#include <span>

#include "base/simd/cpu_features.h"
#include "kernels/int_gemm/int_gemm.h"
#include "kernels/trellis_dot/trellis_dot.h"

namespace bitloom {

inline constexpr int64_t kTrellisGemmCols = 1024;
/// Bytes at an address divisible by 64 that a call needs: two for each decoded value, and some between its panels; a
/// block of tokens in 16 bits.
inline constexpr int64_t kTrellisGemmScratch =
    2 * kTrellisRows * kTrellisGemmCols + kTrellisRows / kPanelRows * 64 + 2 * kTokenBlock * kTrellisGemmCols;

struct TrellisGemmCall {
  TrellisRows w;
  int64_t first = 0, last = 0;  // super-tile rows
  int64_t tokens = 0;
  PanelInput x;
  std::byte* scratch = nullptr;  // of this call alone
  float* y = nullptr;            // [tokens, y_stride], element (t, r) at t * y_stride + r
  int64_t y_stride = 0;
};

using TrellisGemmKernel = void(const TrellisGemmCall& call);

struct TrellisGemmEntry {
  const char* name;
  TrellisGemmKernel* kernel;
  Isa isa;
};

/// All of this build, in the order of preference.
std::span<const TrellisGemmEntry> trellis_gemm_kernels();
/// The first that `isa` or a lower one allows.
const TrellisGemmEntry& find_trellis_gemm(Isa isa);

}  // namespace bitloom
