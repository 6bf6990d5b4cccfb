// Sixteen sums a vector, four vectors a strip: tiles of six rows stay in registers over all k.

#include <immintrin.h>

#include <cstring>

#include "kernels/word_gemm/word_gemm.h"

namespace bitloom {
namespace {

constexpr int kVectors = kWordStrip / 16;
/// Not __m512i, of lanes of 64 bits: GCC 12 then copies every sum before it is added to, in half of the time.
using Sums = int32_t __attribute__((vector_size(64)));

/// Rows [i, i + kRows).
template <int kRows>
void add_rows(const WordProduct& product, int64_t i) {
  const int16_t* a = product.a + i * product.a_stride;
  Sums sums[kRows * kVectors];
#pragma GCC unroll 24
  for (Sums& sum : sums) sum = Sums{};
  for (int64_t k = 0; k < kWordDepth; k += 2) {
    __m512i b[kVectors];
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) b[v] = _mm512_loadu_si512(product.b + kWordStrip * k + 32 * v);
#pragma GCC unroll 6
    for (int row = 0; row < kRows; ++row) {
      int32_t two;
      std::memcpy(&two, a + row * product.a_stride + k, sizeof two);
      const __m512i pair = _mm512_set1_epi32(two);
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) {
        Sums& sum = sums[kVectors * row + v];
        sum = reinterpret_cast<Sums>(_mm512_dpwssd_epi32(reinterpret_cast<__m512i>(sum), pair, b[v]));
      }
    }
  }
#pragma GCC unroll 6
  for (int row = 0; row < kRows; ++row) {
    const __m512 scale = _mm512_set1_ps(product.a_scale[(i + row) * product.a_scale_stride]);
    float* c = product.c + (i + row) * product.c_stride;
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) {
      const __m512 scales = _mm512_mul_ps(scale, _mm512_loadu_ps(product.b_scale + 16 * v));
      const __m512 sum = _mm512_cvtepi32_ps(reinterpret_cast<__m512i>(sums[kVectors * row + v]));
      _mm512_storeu_ps(c + 16 * v, _mm512_add_ps(_mm512_loadu_ps(c + 16 * v), _mm512_mul_ps(scales, sum)));
    }
  }
}

}  // namespace

void word_gemm_avx512vnni(const WordProduct& product) {
  constexpr int kRows = 6;
  int64_t i = 0;
  for (; i + kRows <= product.m; i += kRows) add_rows<kRows>(product, i);
  for (; i < product.m; ++i) add_rows<1>(product, i);
}

}  // namespace bitloom
