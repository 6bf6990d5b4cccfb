#pragma once
// For sources with flags of their own (kernels/CMakeLists.txt): internal to each, since they are compiled differently.

#include <immintrin.h>

namespace bitloom {
namespace {

/// The eight lanes, by halves.
inline float sum8(__m256 v) {
  __m128 four = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
  four = _mm_add_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_add_ss(four, _mm_shuffle_ps(four, four, 1)));
}

}  // namespace
}  // namespace bitloom
