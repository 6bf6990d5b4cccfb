#pragma once
// Products of queries with keys of 8 bits, by VNNI: 64 keys are turned so that a lane has a key, whose sum needs no
// other lane; queries become integers of 16 bits, in two digits. Half a step of these is 2^-16 of the query's greatest
// channel, little beside the keys' own rounding. In an unnamed namespace: for sources compiled with AVX-512 and VNNI.

#include <algorithm>
#include <cstring>
#include <limits>

#include "kernels/cached_attention/cached_attention.h"
#include "kernels/x86_intrinsics.h"
#include "kernels/x86_transpose.h"

namespace bitloom {
namespace {

class IntScores {
 public:
  static constexpr int64_t kMostChannels = 256, kKeys = 64;

  /// Keys of `dim` channels, from k on; those behind the last are the last.
  void take_keys(const std::byte* k, int64_t stride, int64_t keys, int64_t dim) {
    fours_ = (dim + 3) / 4;
    for (int64_t j = 0; j < kKeys; j += 16) {
      for (int64_t c = 0; c < dim; c += 64) {
        const uint64_t mask = dim - c >= 64 ? ~uint64_t{0} : (uint64_t{1} << (dim - c)) - 1;
        __m512i rows[16];
        for (int64_t i = 0; i < 16; ++i) {
          const __m512i codes = _mm512_maskz_loadu_epi8(mask, k + std::min(j + i, keys - 1) * stride + c);
          rows[i] = _mm512_xor_si512(codes, _mm512_set1_epi8(-128));
        }
        transpose_fours(rows);
        for (int64_t f = 0; f < std::min<int64_t>(16, fours_ - c / 4); ++f) {
          _mm512_store_si512(keys_[c / 4 + f] + j * 4, rows[f]);
        }
      }
    }
  }

  /// rows[i][j] <- query i times the codes of key j, of kQueries queries `stride` apart.
  template <int kQueries, int kWidth>
  void multiply(const float* q, int64_t stride, float (*rows)[kWidth]) {
    constexpr int kTogether = kQueries == 1 ? 1 : 2;
    for (int i = 0; i + kTogether <= kQueries; i += kTogether)
      multiply_some<kTogether>(q + i * stride, stride, rows + i);
    if constexpr (kQueries % kTogether != 0) {
      multiply_some<1>(q + (kQueries - 1) * stride, stride, rows + kQueries - 1);
    }
  }

 private:
  struct Query {
    alignas(64) int8_t digits[2][kMostChannels];  // the higher ones first
    int32_t starts[2];                            // -128 times their sums
    float scale;
  };

  /// q = scale (256 digits[0] + digits[1]). The scale is NaN where a channel is not finite; digits are 0 beside it.
  void round(const float* q, Query& to) const {
    const int64_t channels = fours_ * 4;
    __m512 most = _mm512_setzero_ps(), nothing = _mm512_setzero_ps();  // 0 x is NaN where x is not finite
    for (int64_t c = 0; c < channels; c += 16) {
      const __m512 x = _mm512_loadu_ps(q + c);
      most = _mm512_max_ps(most, _mm512_abs_ps(x));
      nothing = _mm512_fmadd_ps(x, _mm512_setzero_ps(), nothing);
    }
    constexpr float kMost = 127 * 256;
    const float greatest = _mm512_reduce_max_ps(most);
    to.scale = greatest / kMost + _mm512_reduce_add_ps(nothing);
    const bool usable = to.scale >= std::numeric_limits<float>::min();
    const __m512 inverse = _mm512_set1_ps(usable ? 1 / to.scale : 0.0f);
    const auto converted = static_cast<__mmask16>(usable ? 0xffff : 0);  // NaN would become the least integer
    __m512i sums[2] = {_mm512_setzero_si512(), _mm512_setzero_si512()};
    for (int64_t c = 0; c < channels; c += 16) {
      const __m512i value = _mm512_maskz_cvtps_epi32(converted, _mm512_mul_ps(_mm512_loadu_ps(q + c), inverse));
      const __m512i high = _mm512_srai_epi32(_mm512_add_epi32(value, _mm512_set1_epi32(128)), 8);
      const __m512i low = _mm512_sub_epi32(value, _mm512_slli_epi32(high, 8));
      sums[0] = _mm512_add_epi32(sums[0], high), sums[1] = _mm512_add_epi32(sums[1], low);
      _mm_store_si128(reinterpret_cast<__m128i*>(to.digits[0] + c), _mm512_cvtepi32_epi8(high));
      _mm_store_si128(reinterpret_cast<__m128i*>(to.digits[1] + c), _mm512_cvtepi32_epi8(low));
    }
    for (int d = 0; d < 2; ++d) to.starts[d] = -128 * _mm512_reduce_add_epi32(sums[d]);
  }

  template <int kQueries, int kWidth>
  void multiply_some(const float* q, int64_t stride, float (*rows)[kWidth]) {
    Query queries[kQueries];
    __m512i sums[kQueries][2][4];
    for (int i = 0; i < kQueries; ++i) {
      round(q + i * stride, queries[i]);
      for (int d = 0; d < 2; ++d) {
        for (__m512i& sum : sums[i][d]) sum = _mm512_set1_epi32(queries[i].starts[d]);
      }
    }
    for (int64_t f = 0; f < fours_; ++f) {
      __m512i keys[4];
      for (int v = 0; v < 4; ++v) keys[v] = _mm512_load_si512(keys_[f] + 64 * v);
      for (int i = 0; i < kQueries; ++i) {
        for (int d = 0; d < 2; ++d) {
          int32_t four;
          std::memcpy(&four, queries[i].digits[d] + 4 * f, sizeof four);
          const __m512i digits = _mm512_set1_epi32(four);
          for (int v = 0; v < 4; ++v) sums[i][d][v] = _mm512_dpbusd_epi32(sums[i][d][v], keys[v], digits);
        }
      }
    }
    for (int i = 0; i < kQueries; ++i) {
      const __m512 scale = _mm512_set1_ps(queries[i].scale);
      for (int v = 0; v < 4; ++v) {
        const __m512i sum = _mm512_add_epi32(_mm512_slli_epi32(sums[i][0][v], 8), sums[i][1][v]);
        _mm512_store_ps(rows[i] + 16 * v, _mm512_mul_ps(_mm512_cvtepi32_ps(sum), scale));
      }
    }
  }

  int64_t fours_ = 0;
  alignas(64) uint8_t keys_[kMostChannels / 4][kKeys * 4];  // [channels / 4, keys, 4]: codes + 128
};

}  // namespace
}  // namespace bitloom
