#pragma once
// For sources with flags of their own (kernels/CMakeLists.txt): internal to each, since they are compiled differently.

#include "kernels/x86_intrinsics.h"

namespace bitloom {
namespace {

/// The eight lanes, by halves.
inline float sum8(__m256 v) {
  __m128 four = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
  four = _mm_add_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_add_ss(four, _mm_shuffle_ps(four, four, 1)));
}

/// The greatest lane.
inline float greatest8(__m256 v) {
  __m128 four = _mm_max_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
  four = _mm_max_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_max_ss(four, _mm_shuffle_ps(four, four, 1)));
}

/// sum8() of eight vectors.
inline __m256 sums8(const __m256 (&v)[8]) {
  __m256 quarters[4];  // of vectors i and i + 4
  for (int i = 0; i < 4; ++i) {
    quarters[i] =
        _mm256_add_ps(_mm256_permute2f128_ps(v[i], v[i + 4], 0x20), _mm256_permute2f128_ps(v[i], v[i + 4], 0x31));
  }
  __m256 pairs[2];  // of vectors 2 i, 2 i + 1, and those four after them
  for (int i = 0; i < 2; ++i) {
    const __m256 a = quarters[2 * i], b = quarters[2 * i + 1];
    pairs[i] = _mm256_add_ps(_mm256_shuffle_ps(a, b, 0x44), _mm256_shuffle_ps(a, b, 0xee));
  }
  return _mm256_add_ps(_mm256_shuffle_ps(pairs[0], pairs[1], 0x88), _mm256_shuffle_ps(pairs[0], pairs[1], 0xdd));
}

/// The sums of four vectors' lanes.
inline __m128 sums8(__m256 a, __m256 b, __m256 c, __m256 d) {
  const __m256 quarters = _mm256_hadd_ps(_mm256_hadd_ps(a, b), _mm256_hadd_ps(c, d));
  return _mm_add_ps(_mm256_castps256_ps128(quarters), _mm256_extractf128_ps(quarters, 1));
}

}  // namespace
}  // namespace bitloom
