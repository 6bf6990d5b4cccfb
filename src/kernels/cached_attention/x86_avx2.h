#pragma once
// Vector steps of AVX2 for attention. For sources with flags of their own.

#include "kernels/cached_attention/x86_loops.h"

namespace bitloom {
namespace {

struct Avx2 {
  using Float = __m256;
  static constexpr int64_t kLanes = 8;
  static constexpr int kQueries = 2;
  static constexpr int kTileVectors = 2;
  using IntScores = NoIntProducts;
  using IntValues = NoIntProducts;
  static Float zero() { return _mm256_setzero_ps(); }
  static Float set(float x) { return _mm256_set1_ps(x); }
  static Float load(const float* p) { return _mm256_loadu_ps(p); }
  static void store(float* p, Float v) { _mm256_storeu_ps(p, v); }
  static Float add(Float a, Float b) { return _mm256_add_ps(a, b); }
  static Float mul(Float a, Float b) { return _mm256_mul_ps(a, b); }
  static Float divide(Float a, Float b) { return _mm256_div_ps(a, b); }
  static Float fma(Float a, Float b, Float c) { return _mm256_fmadd_ps(a, b, c); }
  static Float min(Float a, Float b) { return _mm256_min_ps(a, b); }
  static Float max(Float a, Float b) { return _mm256_max_ps(a, b); }
  static Float times_power(Float x, Float shifted) {
    const __m256i n = _mm256_sub_epi32(_mm256_castps_si256(shifted), _mm256_castps_si256(set(12582912.0f)));
    return mul(x, _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(n, _mm256_set1_epi32(127)), 23)));
  }
  static float sum(Float v) { return sum8(v); }
  static float greatest(Float v) { return greatest8(v); }
  static __m128 sums(const Float (&v)[4]) { return sums8(v[0], v[1], v[2], v[3]); }
  /// Rows to columns.
  static void transpose(Float (&rows)[8]) {
    Float a[8];
    for (int i = 0; i < 8; i += 4) {
      const Float low0 = _mm256_unpacklo_ps(rows[i], rows[i + 1]), high0 = _mm256_unpackhi_ps(rows[i], rows[i + 1]);
      const Float low1 = _mm256_unpacklo_ps(rows[i + 2], rows[i + 3]),
                  high1 = _mm256_unpackhi_ps(rows[i + 2], rows[i + 3]);
      a[i] = _mm256_shuffle_ps(low0, low1, 0x44), a[i + 1] = _mm256_shuffle_ps(low0, low1, 0xee);
      a[i + 2] = _mm256_shuffle_ps(high0, high1, 0x44), a[i + 3] = _mm256_shuffle_ps(high0, high1, 0xee);
    }
    for (int j = 0; j < 4; ++j) {
      rows[j] = _mm256_permute2f128_ps(a[j], a[4 + j], 0x20),
      rows[4 + j] = _mm256_permute2f128_ps(a[j], a[4 + j], 0x31);
    }
  }
  template <KvFormat kFormat>
  static Float widen(const std::byte* p) {
    if constexpr (kFormat == KvFormat::kFp32) return _mm256_loadu_ps(reinterpret_cast<const float*>(p));
    if constexpr (kFormat == KvFormat::kInt8)
      return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p))));
    if constexpr (kFormat == KvFormat::kFp8) {
      const __m128i codes = _mm_cvtepi8_epi16(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p)));
      return _mm256_cvtph_ps(_mm_and_si128(_mm_slli_epi16(codes, 7), _mm_set1_epi16(kE4m3Half)));
    }
    const __m128i halves = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
    if constexpr (kFormat == KvFormat::kFp16) return _mm256_cvtph_ps(halves);
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(halves), 16));
  }
  template <KvFormat kFormat>
  static Float widen_some(const std::byte* p, int64_t count) {
    std::byte some[kLanes * 4] = {};
    std::memcpy(some, p, static_cast<size_t>(count * kv_channel_bytes(kFormat)));
    return widen<kFormat>(some);
  }
};

}  // namespace
}  // namespace bitloom
