#pragma once
// A panel of unpacked rows times blocks of tokens, in AVX-512 with VNNI. In an unnamed namespace: for sources with
// flags of their own.

#include <immintrin.h>

#include <algorithm>

#include "kernels/int_gemm/int_gemm.h"
#include "kernels/int_gemm/panel_plan.h"
#include "kernels/x86_dots.h"
#include "kernels/x86_transpose.h"

namespace bitloom {
namespace {

using Panel = PanelOf<uint8_t>;  // levels + 128

/// Where a block of kTokens tokens lies in the input's arrays.
struct TokenBlock {
  const int8_t* digits;
  const float* scales;
  const int32_t *sums16, *sums32;
  const float* values;  // as the minimums: of 16 columns or of 32
  int64_t tokens;       // of which so many are written
};

/// The columns of a product: blocks [first, last) of kInputBlock, whole groups, whose levels a panel begins with.
struct PanelShape {
  int64_t first, last;
  int64_t blocks_per_group;  // PanelScales::kGroups
};

static_assert(kPanelRows == 16);  // a lane each

/// The sums of so many tokens.
template <int kTokens>
using IntSums = __m512i[kTokens];
template <int kTokens>
using FloatSums = __m512[kTokens];

/// sum += products of kColumns columns; moves on in both.
template <int kTokens, int kColumns>
inline void add_columns(const uint8_t*& codes, const int8_t*& digits, IntSums<kTokens>& sum) {
#pragma GCC unroll 8
  for (int k = 0; k < kColumns / 4; ++k) {
    const __m512i weights = _mm512_load_si512(codes + k * 64);
#pragma GCC unroll 14
    for (int t = 0; t < kTokens; ++t) add_dots(weights, digits + (k * kTokens + t) * 4, sum[t]);
  }
  codes += kColumns * kPanelRows, digits += kColumns * kTokens;
}

template <int kTokens>
inline void start_sums(const int32_t* sums, IntSums<kTokens>& sum) {
#pragma GCC unroll 14
  for (int t = 0; t < kTokens; ++t) sum[t] = _mm512_set1_epi32(sums[t]);
}

/// total += factor (of the rows) * value[t].
template <int kTokens>
inline void add_scaled(const float* factors, const float* values, FloatSums<kTokens>& total) {
  const __m512 factor = _mm512_load_ps(factors);
#pragma GCC unroll 14
  for (int t = 0; t < kTokens; ++t) total[t] = _mm512_fmadd_ps(_mm512_set1_ps(values[t]), factor, total[t]);
}

/// A panel times a block of kTokens tokens, added to y where the columns are not the first; minimums, if any, of
/// kMinimumColumns columns each.
template <int kTokens, PanelScales kScales, int kMinimumColumns>
void panel_product(const Panel& panel, const TokenBlock& x, const PanelShape& shape, __mmask16 rows, float* y,
                   int64_t y_stride) {
  constexpr int64_t kMinimums = kMinimumColumns == 0 ? 0 : kInputBlock / kMinimumColumns;  // of a block
  FloatSums<kTokens> total;
#pragma GCC unroll 14
  for (int t = 0; t < kTokens; ++t) {
    total[t] = _mm512_setzero_ps();
    if (shape.first > 0 && t < x.tokens) total[t] = _mm512_maskz_loadu_ps(rows, y + t * y_stride);
  }
  const uint8_t* codes = panel.levels;
  const int8_t* digits = x.digits + shape.first * kInputBlock * kTokens;
  const int64_t together = kScales == PanelScales::kGroups ? shape.blocks_per_group : 1;
  constexpr int64_t kScalesEach = kScales == PanelScales::kSixteens ? 2 : 1;
  const float* weight_scales = panel.scales + shape.first / together * kScalesEach * kPanelRows;
  for (int64_t b = shape.first, end; b < shape.last; b = end) {
    end = std::min(b + together, shape.last);
    IntSums<kTokens> sum;
    if constexpr (kScales == PanelScales::kSixteens) {
      FloatSums<kTokens> part;
      for (int half = 0; half < 2; ++half, weight_scales += kPanelRows) {
        start_sums<kTokens>(x.sums16 + (2 * b + half) * kTokens, sum);
        add_columns<kTokens, 16>(codes, digits, sum);
        const __m512 scale = _mm512_load_ps(weight_scales);
#pragma GCC unroll 14
        for (int t = 0; t < kTokens; ++t) {
          const __m512 value = _mm512_cvtepi32_ps(sum[t]);
          part[t] = half == 0 ? _mm512_mul_ps(value, scale) : _mm512_fmadd_ps(value, scale, part[t]);
        }
      }
#pragma GCC unroll 14
      for (int t = 0; t < kTokens; ++t) {
        total[t] = _mm512_fmadd_ps(part[t], _mm512_set1_ps(x.scales[b * kTokens + t]), total[t]);
      }
    } else if constexpr (kScales == PanelScales::kBlocks) {
      start_sums<kTokens>(x.sums32 + b * kTokens, sum);
      add_columns<kTokens, kInputBlock>(codes, digits, sum);
      const __m512 scale = _mm512_load_ps(weight_scales);
#pragma GCC unroll 14
      for (int t = 0; t < kTokens; ++t) {
        const __m512 value = _mm512_mul_ps(_mm512_cvtepi32_ps(sum[t]), _mm512_set1_ps(x.scales[b * kTokens + t]));
        total[t] = _mm512_fmadd_ps(value, scale, total[t]);
      }
      weight_scales += kPanelRows;
    } else {
      FloatSums<kTokens> part;
#pragma GCC unroll 14
      for (int t = 0; t < kTokens; ++t) part[t] = _mm512_setzero_ps();
      for (int64_t i = b; i < end; ++i) {
        start_sums<kTokens>(x.sums32 + i * kTokens, sum);
        add_columns<kTokens, kInputBlock>(codes, digits, sum);
#pragma GCC unroll 14
        for (int t = 0; t < kTokens; ++t) {
          const __m512 scale = _mm512_set1_ps(x.scales[i * kTokens + t]);
          part[t] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(sum[t]), scale, part[t]);
        }
      }
      const __m512 scale = _mm512_load_ps(weight_scales);
#pragma GCC unroll 14
      for (int t = 0; t < kTokens; ++t) total[t] = _mm512_fmadd_ps(part[t], scale, total[t]);
      weight_scales += kPanelRows;
    }
    for (int64_t i = b * kMinimums; i < end * kMinimums; ++i) {
      add_scaled<kTokens>(panel.minimums + i * kPanelRows, x.values + i * kTokens, total);
    }
  }
#pragma GCC unroll 14
  for (int t = 0; t < kTokens; ++t) {
    if (t < x.tokens) _mm512_mask_storeu_ps(y + t * y_stride, rows, total[t]);
  }
}

template <PanelScales kScales, int kMinimumColumns>
void panel_product_of(int64_t width, const Panel& panel, const TokenBlock& x, const PanelShape& shape, __mmask16 rows,
                      float* y, int64_t y_stride) {
  switch (width) {
    case 4:
      return panel_product<4, kScales, kMinimumColumns>(panel, x, shape, rows, y, y_stride);
    case 8:
      return panel_product<8, kScales, kMinimumColumns>(panel, x, shape, rows, y, y_stride);
    default:
      return panel_product<kTokenBlock, kScales, kMinimumColumns>(panel, x, shape, rows, y, y_stride);
  }
}

using PanelProduct = decltype(panel_product_of<PanelScales::kBlocks, 0>);

/// minimum_columns: 0 (none), 16 or 32.
inline PanelProduct* find_panel_product(PanelScales scales, int minimum_columns) {
  using enum PanelScales;
  switch (scales) {
    case kSixteens:
      return minimum_columns == 0 ? panel_product_of<kSixteens, 0> : panel_product_of<kSixteens, 16>;
    case kBlocks:
      return minimum_columns == 0 ? panel_product_of<kBlocks, 0> : panel_product_of<kBlocks, 32>;
    case kGroups:
      break;
  }
  return minimum_columns == 0    ? panel_product_of<kGroups, 0>
         : minimum_columns == 16 ? panel_product_of<kGroups, 16>
                                 : panel_product_of<kGroups, 32>;
}

/// Block `block` of the input; minimums of so many columns.
inline TokenBlock token_block_of(const IntGemmCall& call, int64_t block, int minimum_columns) {
  const int64_t first = block * kTokenBlock, in32 = first * (call.x.stride / 32), in16 = first * (call.x.stride / 16);
  return {call.x.digits + first * call.x.stride,
          call.x.scales + in32,
          call.x.sums16 + in16,
          call.x.sums32 + in32,
          minimum_columns == 16 ? call.x.values16 + in16 : call.x.values32 + in32,
          call.tokens - first};
}

}  // namespace
}  // namespace bitloom
