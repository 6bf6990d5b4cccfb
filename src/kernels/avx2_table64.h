#pragma once
// Looks bytes up in tables of 64 bytes, in AVX2. In an unnamed namespace: for sources with flags of their own.

#include "kernels/x86_intrinsics.h"

namespace bitloom {
namespace {

/// 32 indices modulo 64, a byte each.
struct Places64 {
  __m256i in_sixteen, bit4, bit5;  // these two as the highest of their bytes
  explicit Places64(__m256i bytes)
      : in_sixteen(_mm256_and_si256(bytes, _mm256_set1_epi8(15))),
        bit4(_mm256_slli_epi16(bytes, 3)),
        bit5(_mm256_slli_epi16(bytes, 2)) {}
};

/// sixteens[i]: entries 16 i to 16 i + 15, in either half of the register.
inline __m256i look_up64(const __m256i (&sixteens)[4], const Places64& places) {
  const auto pair = [&](int at) {
    return _mm256_blendv_epi8(_mm256_shuffle_epi8(sixteens[at], places.in_sixteen),
                              _mm256_shuffle_epi8(sixteens[at + 1], places.in_sixteen), places.bit4);
  };
  return _mm256_blendv_epi8(pair(0), pair(2), places.bit5);
}

}  // namespace
}  // namespace bitloom
