#pragma once
// Dot products of bytes on 64-bit ARM, of 256-bit vectors. For sources compiled with -march=armv8.2-a+dotprod; in an
// unnamed namespace, as they are compiled with flags of their own.

#include "kernels/x86_intrinsics.h"

namespace bitloom {
namespace {

inline __m128i half_dot(__m128i sums, __m128i a, __m128i b) {
  return simde__m128i_from_neon_i32(
      vdotq_s32(simde__m128i_to_neon_i32(sums), simde__m128i_to_neon_i8(a), simde__m128i_to_neon_i8(b)));
}

/// sums + sums of fours of a times b, signed bytes.
inline __m256i signed_dot(__m256i sums, __m256i a, __m256i b) {
  const __m128i high =
      half_dot(_mm256_extracti128_si256(sums, 1), _mm256_extracti128_si256(a, 1), _mm256_extracti128_si256(b, 1));
  const __m128i low = half_dot(_mm256_castsi256_si128(sums), _mm256_castsi256_si128(a), _mm256_castsi256_si128(b));
  return _mm256_set_m128i(high, low);
}

}  // namespace
}  // namespace bitloom
