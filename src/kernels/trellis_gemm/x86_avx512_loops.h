#pragma once
// A panel is sixteen rows: levels + 128 by fours of columns, of T6V1 both values that a level is the sum of.

#include <immintrin.h>

#include <algorithm>

#include "kernels/trellis_dot/super_tile.h"
#include "kernels/trellis_dot/x86_avx512.h"
#include "kernels/trellis_gemm/trellis_gemm.h"
#include "kernels/x86_dots.h"
#include "kernels/x86_transpose.h"

namespace bitloom {
namespace {

/// By i: byte i of every four of v[0], v[1], v[2], v[3].
inline void transpose_bytes(const __m512i (&v)[4], __m512i (&out)[4]) {
  constexpr __mmask32 kOdd = 0xaaaaaaaa;  // halves of fours
  const auto halves = [](__m512i a, __m512i b, __m512i& low, __m512i& high) {
    low = _mm512_mask_blend_epi16(kOdd, a, _mm512_slli_epi32(b, 16));
    high = _mm512_mask_blend_epi16(kOdd, _mm512_srli_epi32(a, 16), b);
  };
  const __m512i even_first = _mm512_broadcast_i32x4(_mm_set_epi64x(0x0f0d0e0c0b090a08, 0x0705060403010200));
  __m512i low01, high01, low23, high23;
  halves(v[0], v[1], low01, high01), halves(v[2], v[3], low23, high23);
  halves(_mm512_shuffle_epi8(low01, even_first), _mm512_shuffle_epi8(low23, even_first), out[0], out[1]);
  halves(_mm512_shuffle_epi8(high01, even_first), _mm512_shuffle_epi8(high23, even_first), out[2], out[3]);
}

template <int kValues>
class TrellisGemmLoop {
 public:
  explicit TrellisGemmLoop(const TrellisGemmCall& call) : call_(call), windows_(call.w), values_(call.w) {}

  void run() const {
    constexpr int64_t kMostBlocks = kTrellisGemmCols / kTrellisCols;
    const int64_t blocks = (call_.w.cols + kTrellisCols - 1) / kTrellisCols;
    for (int64_t s = call_.first; s < call_.last; ++s) {
      const SuperRow row = super_row(call_.w, s);
      for (int64_t first = 0; first < blocks; first += kMostBlocks) {
        const int64_t last = std::min(first + kMostBlocks, blocks);
        for (int64_t b = first; b < last; ++b) {
          SuperTileRoom room;
          unpack(whole_super_tile(row, row.tile(b), room), row.groups, b - first);
        }
        for (int64_t token = 0; token < call_.tokens; token += kTokenBlock) {
          for (int64_t j = 0; j < row.groups; ++j) multiply(token, row.first_row + 16 * j, panel(j), first, last);
        }
      }
    }
  }

 private:
  static constexpr int kCopies = 2 / kValues;            // bytes of a level
  static constexpr int64_t kBlockBytes = 512 * kCopies;  // of a panel's 32 columns
  /// A line more than its bytes, so that panels do not share their places in a cache.
  static constexpr int64_t kPanelBytes = kBlockBytes * (kTrellisGemmCols / kTrellisCols) + 64;
  static_assert(kTrellisRows / kPanelRows * kPanelBytes <= kTrellisGemmScratch);

  uint8_t* panel(int64_t group) const { return reinterpret_cast<uint8_t*>(call_.scratch) + group * kPanelBytes; }

  /// One super-tile to block `block` of all panels.
  void unpack(const std::byte* tile, int64_t groups, int64_t block) const {
    for (int m = 0; m < 2 * kCopies; ++m) unpack_fours(tile, groups, block, m);
  }

  /// Four steps along a row have the bytes of four fours of columns: of both halves of the columns, the even and the
  /// odd ones (two values a step), or a level's two bytes.
  void unpack_fours(const std::byte* tile, int64_t groups, int64_t block, int m) const {
    const int first = kValues == 2 ? 4 * m : m / 2 * 8 + m % 2, apart = kValues == 2 ? 1 : 2;
    __m512i fours[4][kPanelRows];  // by row; the lane is the group
    for (int r = 0; r < 16; ++r) {
      __m512i along[4], bytes[4];
      for (int i = 0; i < 4; ++i) along[i] = values_at(tile, windows_.of[16 * (first + apart * i) + r]);
      transpose_bytes(along, bytes);
      for (int i = 0; i < 4; ++i) fours[i][r] = bytes[i];
    }
    for (int i = 0; i < 4; ++i) {
      transpose_fours(fours[i]);  // by group; the lane is the row
      const int k = i / 2 * 4 + (kValues == 2 ? 2 * m + i % 2 : m), copy = kValues == 2 ? 0 : i % 2;
      for (int64_t j = 0; j < groups; ++j) {
        _mm512_store_si512(panel(j) + block * kBlockBytes + (k * kCopies + copy) * 64, fours[i][j]);
      }
    }
  }

  __m512i values_at(const std::byte* tile, const TrellisWindow& window) const {
    return values_.at(_mm512_loadu_si512(tile + 64 * window.high), _mm512_loadu_si512(tile + 64 * window.low),
                      window.shift);
  }

  /// Adds blocks [first, last) of a panel times a block of tokens.
  void multiply(int64_t token, int64_t row, const uint8_t* levels, int64_t first, int64_t last) const {
    switch (token_block(call_.tokens - token)) {
      case 4:
        return multiply_by<4>(token, row, levels, first, last);
      case 8:
        return multiply_by<8>(token, row, levels, first, last);
      default:
        return multiply_by<kTokenBlock>(token, row, levels, first, last);
    }
  }

  /// A function of its own: inlined into the rest, GCC 12 stores every sum after every product.
  template <int kTokens>
  [[gnu::noinline]] void multiply_by(int64_t token, int64_t row, const uint8_t* levels, int64_t first,
                                     int64_t last) const {
    const PanelInput& x = call_.x;
    const int64_t in32 = token * (x.stride / 32) + first * kTokens,
                  tokens = std::min<int64_t>(kTokens, call_.tokens - token);
    const int8_t* digits = x.digits + token * x.stride + first * kTrellisCols * kTokens;
    const float* scales = x.scales + in32;
    const int32_t* sums = x.sums32 + in32;
    const auto rows = static_cast<__mmask16>((1U << std::min<int64_t>(16, call_.w.rows - row)) - 1);
    float* y = call_.y + token * call_.y_stride + row;
    __m512 total[kTokens];
#pragma GCC unroll 14
    for (int t = 0; t < kTokens; ++t) {
      total[t] = first == 0 || t >= tokens ? _mm512_setzero_ps() : _mm512_maskz_loadu_ps(rows, y + t * call_.y_stride);
    }
    for (int64_t b = first; b < last; ++b) {
      __m512i sum[kTokens];
#pragma GCC unroll 14
      for (int t = 0; t < kTokens; ++t) sum[t] = _mm512_set1_epi32(kCopies * sums[t]);
#pragma GCC unroll 16
      for (int k = 0; k < 8 * kCopies; ++k) {
        const __m512i weights = _mm512_load_si512(levels + k * 64);
#pragma GCC unroll 14
        for (int t = 0; t < kTokens; ++t) {
          add_dots(weights, digits + (k / kCopies * kTokens + t) * 4, sum[t]);
        }
      }
#pragma GCC unroll 14
      for (int t = 0; t < kTokens; ++t) {
        total[t] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(sum[t]), _mm512_set1_ps(scales[t]), total[t]);
      }
      levels += kBlockBytes, digits += kTrellisCols * kTokens, scales += kTokens, sums += kTokens;
    }
    const bool whole = last * kTrellisCols >= call_.w.cols;
    const __m512 factor = _mm512_set1_ps(call_.w.scale);
#pragma GCC unroll 14
    for (int t = 0; t < kTokens; ++t) {
      if (t >= tokens) break;
      _mm512_mask_storeu_ps(y + t * call_.y_stride, rows, whole ? _mm512_mul_ps(factor, total[t]) : total[t]);
    }
  }

  const TrellisGemmCall& call_;
  TrellisWindows windows_;
  TrellisValues values_;
};

inline void trellis_gemm_avx512(const TrellisGemmCall& call) {
  call.w.values == 2 ? TrellisGemmLoop<2>(call).run() : TrellisGemmLoop<1>(call).run();
}

}  // namespace
}  // namespace bitloom
