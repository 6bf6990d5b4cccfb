#pragma once
// Vector steps of AVX-512, of level_dot/ as well. In an unnamed namespace, as x86_loops.h says.

#include <immintrin.h>

#include <cstddef>
#include <cstdint>

#include "kernels/bit_lanes.h"

namespace bitloom {
namespace {

struct Avx512 {
  static constexpr int kLanes = 16;
  using Float = __m512;

  static Float set(float x) { return _mm512_set1_ps(x); }
  static Float halves(const std::byte* p, int shift, int16_t mask) {
    const __m256i codes = _mm256_cvtepi8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
    const __m256i shifted = _mm256_sll_epi16(codes, _mm_cvtsi32_si128(shift));
    return _mm512_cvtph_ps(_mm256_and_si256(shifted, _mm256_set1_epi16(mask)));
  }

  static Float zero() { return _mm512_setzero_ps(); }
  static Float fma(Float a, Float b, Float c) { return _mm512_fmadd_ps(a, b, c); }
  static float sum(Float a) { return _mm512_reduce_add_ps(a); }
  static Float load(const float* x, int64_t count) {
    return _mm512_maskz_loadu_ps(static_cast<__mmask16>((1u << count) - 1), x);
  }
  static Float first(Float a, int64_t count) {
    return _mm512_maskz_mov_ps(static_cast<__mmask16>((1u << count) - 1), a);
  }

  /// With garbage above the codes' bits.
  template <int kBits>
  static __m512i codes(const std::byte* p, const std::byte* end) {
    static constexpr BitLanes<16> kHow(kBits);
    const auto* at = reinterpret_cast<const __m128i*>(p);
    const __m128i bytes =
        end - p >= 16 ? _mm_loadu_si128(at) : _mm_maskz_loadu_epi8(static_cast<__mmask16>((1u << (end - p)) - 1), at);
    const __m512i all = _mm512_broadcast_i32x4(bytes);
    return _mm512_srlv_epi32(_mm512_shuffle_epi8(all, _mm512_load_si512(kHow.places)), _mm512_load_si512(kHow.shifts));
  }

  template <int kBits>
  struct Table {
    explicit Table(const float* given) : levels(given) {}
    Float look_up(__m512i codes) const {
      if constexpr (kBits <= 4) return _mm512_permutexvar_ps(codes, _mm512_load_ps(levels));
      if constexpr (kBits == 5)
        return _mm512_permutex2var_ps(_mm512_load_ps(levels), codes, _mm512_load_ps(levels + 16));
      if constexpr (kBits == 6) {
        const Float low = _mm512_permutex2var_ps(_mm512_load_ps(levels), codes, _mm512_load_ps(levels + 16));
        const Float high = _mm512_permutex2var_ps(_mm512_load_ps(levels + 32), codes, _mm512_load_ps(levels + 48));
        return _mm512_mask_blend_ps(_mm512_test_epi32_mask(codes, _mm512_set1_epi32(32)), low, high);
      }
      return _mm512_i32gather_ps(_mm512_and_si512(codes, _mm512_set1_epi32((1 << kBits) - 1)), levels, 4);
    }
    const float* levels;
  };
};

}  // namespace
}  // namespace bitloom
