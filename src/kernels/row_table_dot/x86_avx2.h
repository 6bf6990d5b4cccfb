#pragma once
// Vector steps of AVX2, of level_dot/ as well. In an unnamed namespace, as x86_loops.h says.

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "kernels/bit_lanes.h"
#include "kernels/x86_intrinsics.h"
#include "kernels/x86_sum.h"

namespace bitloom {
namespace {

struct Avx2 {
  static constexpr int kLanes = 8;
  using Float = __m256;

  static Float set(float x) { return _mm256_set1_ps(x); }
  static Float halves(const std::byte* p, int shift, int16_t mask) {
    const __m128i codes = _mm_cvtepi8_epi16(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p)));
    return _mm256_cvtph_ps(_mm_and_si128(_mm_sll_epi16(codes, _mm_cvtsi32_si128(shift)), _mm_set1_epi16(mask)));
  }

  static Float zero() { return _mm256_setzero_ps(); }
  static Float fma(Float a, Float b, Float c) { return _mm256_fmadd_ps(a, b, c); }
  static float sum(Float a) { return sum8(a); }
  static Float load(const float* x, int64_t count) {
    if (count == 8) return _mm256_loadu_ps(x);
    alignas(32) float few[8] = {};
    std::memcpy(few, x, static_cast<size_t>(count) * sizeof *x);
    return _mm256_load_ps(few);
  }
  static Float first(Float a, int64_t count) {
    const __m256i lanes = _mm256_set_epi32(7, 6, 5, 4, 3, 2, 1, 0);
    const __m256i ours = _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int32_t>(count)), lanes);
    return count == 8 ? a : _mm256_and_ps(a, _mm256_castsi256_ps(ours));
  }

  template <int kBits>
  static __m256i codes(const std::byte* p, const std::byte* end) {
    static constexpr BitLanes<8> kHow(kBits);
    uint64_t word = 0;
    if (end - p >= 8) {
      std::memcpy(&word, p, 8);
    } else {
      std::memcpy(&word, p, static_cast<size_t>(end - p));
    }
    const __m256i all = _mm256_broadcastsi128_si256(_mm_cvtsi64_si128(static_cast<int64_t>(word)));
    const __m256i placed = _mm256_shuffle_epi8(all, _mm256_load_si256(reinterpret_cast<const __m256i*>(kHow.places)));
    const __m256i shifted = _mm256_srlv_epi32(placed, _mm256_load_si256(reinterpret_cast<const __m256i*>(kHow.shifts)));
    return _mm256_and_si256(shifted, _mm256_set1_epi32((1 << kBits) - 1));
  }

  template <int kBits>
  struct Table {
    explicit Table(const float* given) : levels(given) {}
    Float look_up(__m256i codes) const {
      if constexpr (kBits <= 3) return _mm256_permutevar8x32_ps(_mm256_load_ps(levels), codes);
      if constexpr (kBits == 4) {
        const Float low = _mm256_permutevar8x32_ps(_mm256_load_ps(levels), codes);
        const Float high = _mm256_permutevar8x32_ps(_mm256_load_ps(levels + 8), codes);
        return _mm256_blendv_ps(low, high, _mm256_castsi256_ps(_mm256_slli_epi32(codes, 28)));
      }
      return _mm256_i32gather_ps(levels, codes, 4);
    }
    const float* levels;
  };
};

}  // namespace
}  // namespace bitloom
