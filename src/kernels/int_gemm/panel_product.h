#pragma once
// A panel of unpacked rows times blocks of tokens, in AVX-512 with VNNI. In an unnamed namespace: for sources with
// flags of their own.

#include <immintrin.h>

#include <algorithm>
#include <cstring>

#include "kernels/int_gemm/int_gemm.h"

namespace bitloom {
namespace {

/// kPanelRows rows side by side.
struct Panel {
  uint8_t* codes;   // [columns / 4, kPanelRows, 4]: levels + 128
  float* scales;    // [steps, kPanelRows], the matrix's factor in them
  float* minimums;  // the same: what a step adds to every weight
};

/// Where a block of kTokens tokens lies in the input's arrays, sums and values by steps.
struct TokenBlock {
  const int8_t* digits;
  const float* scales;
  const int32_t* sums;
  const float* values;
  int64_t tokens;  // of which so many are written
};

/// Sixteen rows times a block of kTokens tokens, kStep columns at a time. kTokens sums of integers, as many of floats,
/// a vector of weights and what a step's end needs: 31 registers.
template <int kTokens, int kStep, bool kMinimums>
void panel_product(const Panel& panel, const TokenBlock& x, int64_t steps, __mmask16 rows, float* y, int64_t y_stride) {
  __m512 total[kTokens];
  for (int t = 0; t < kTokens; ++t) total[t] = _mm512_setzero_ps();
  const uint8_t* codes = panel.codes;
  const int8_t* digits = x.digits;
  for (int64_t b = 0; b < steps; ++b) {
    __m512i sum[kTokens];
    for (int t = 0; t < kTokens; ++t) sum[t] = _mm512_set1_epi32(x.sums[b * kTokens + t]);
#pragma GCC unroll 8
    for (int k = 0; k < kStep / 4; ++k) {
      const __m512i weights = _mm512_load_si512(codes + k * 64);
#pragma GCC unroll 14
      for (int t = 0; t < kTokens; ++t) {
        int32_t four;
        std::memcpy(&four, digits + (k * kTokens + t) * 4, sizeof four);
        sum[t] = _mm512_dpbusd_epi32(sum[t], weights, _mm512_set1_epi32(four));
      }
    }
    codes += kStep / 4 * 64, digits += kStep * kTokens;
    const __m512 scale = _mm512_load_ps(panel.scales + b * kPanelRows);
    const float* scales = x.scales + b * kStep / kInputBlock * kTokens;
#pragma GCC unroll 14
    for (int t = 0; t < kTokens; ++t) {
      const __m512 value = _mm512_mul_ps(_mm512_cvtepi32_ps(sum[t]), _mm512_set1_ps(scales[t]));
      total[t] = _mm512_fmadd_ps(value, scale, total[t]);
    }
    if constexpr (kMinimums) {
      const __m512 minimum = _mm512_load_ps(panel.minimums + b * kPanelRows);
#pragma GCC unroll 14
      for (int t = 0; t < kTokens; ++t) {
        total[t] = _mm512_fmadd_ps(_mm512_set1_ps(x.values[b * kTokens + t]), minimum, total[t]);
      }
    }
  }
  for (int t = 0; t < kTokens; ++t) {
    if (t < x.tokens) _mm512_mask_storeu_ps(y + t * y_stride, rows, total[t]);
  }
}

template <int kStep, bool kMinimums>
void panel_product_of(int64_t width, const Panel& panel, const TokenBlock& x, int64_t steps, __mmask16 rows, float* y,
                      int64_t y_stride) {
  switch (width) {
    case 2:
      return panel_product<2, kStep, kMinimums>(panel, x, steps, rows, y, y_stride);
    case 4:
      return panel_product<4, kStep, kMinimums>(panel, x, steps, rows, y, y_stride);
    case 8:
      return panel_product<8, kStep, kMinimums>(panel, x, steps, rows, y, y_stride);
    default:
      return panel_product<kTokenBlock, kStep, kMinimums>(panel, x, steps, rows, y, y_stride);
  }
}

/// Block `block` of the input, sums in steps of `step`.
inline TokenBlock token_block_of(const IntGemmCall& call, int64_t block, int64_t step) {
  const int64_t first = block * kTokenBlock, steps = call.x.stride / step;
  return {call.x.digits + first * call.x.stride, call.x.scales + first * (call.x.stride / kInputBlock),
          (step == 16 ? call.x.sums16 : call.x.sums32) + first * steps,
          (step == 16 ? call.x.values16 : call.x.values32) + first * steps, call.tokens - first};
}

/// Sixteen rows of 64 bytes to sixteen columns of fours of bytes.
inline void transpose_fours(const __m512i (&in)[16], uint8_t* out) {
  __m512i a[16], b[16];
  for (int i = 0; i < 16; i += 4) {
    const __m512i low0 = _mm512_unpacklo_epi32(in[i], in[i + 1]), high0 = _mm512_unpackhi_epi32(in[i], in[i + 1]);
    const __m512i low1 = _mm512_unpacklo_epi32(in[i + 2], in[i + 3]),
                  high1 = _mm512_unpackhi_epi32(in[i + 2], in[i + 3]);
    a[i] = _mm512_unpacklo_epi64(low0, low1), a[i + 1] = _mm512_unpackhi_epi64(low0, low1);
    a[i + 2] = _mm512_unpacklo_epi64(high0, high1), a[i + 3] = _mm512_unpackhi_epi64(high0, high1);
  }
  // a[4 q + j]: in quarter l column 4 l + j of rows 4 q to 4 q + 3.
  for (int j = 0; j < 4; ++j) {
    const __m512i even01 = _mm512_shuffle_i32x4(a[j], a[4 + j], 0x88),
                  odd01 = _mm512_shuffle_i32x4(a[j], a[4 + j], 0xdd);
    const __m512i even23 = _mm512_shuffle_i32x4(a[8 + j], a[12 + j], 0x88),
                  odd23 = _mm512_shuffle_i32x4(a[8 + j], a[12 + j], 0xdd);
    b[j] = _mm512_shuffle_i32x4(even01, even23, 0x88), b[8 + j] = _mm512_shuffle_i32x4(even01, even23, 0xdd);
    b[4 + j] = _mm512_shuffle_i32x4(odd01, odd23, 0x88), b[12 + j] = _mm512_shuffle_i32x4(odd01, odd23, 0xdd);
  }
  for (int k = 0; k < 16; ++k) _mm512_store_si512(out + 64 * k, b[k]);
}

}  // namespace
}  // namespace bitloom
