#pragma once
// Vector steps of AVX-512 with VNNI for attention. For sources with flags of their own.

#include "kernels/cached_attention/x86_int_products.h"
#include "kernels/cached_attention/x86_loops.h"

namespace bitloom {
namespace {

struct Avx512 {
  using Float = __m512;
  static constexpr int64_t kLanes = 16;
  static constexpr int kQueries = 4;
  static constexpr int kTileVectors = 4;
  using IntScores = bitloom::IntScores;
  using IntValues = bitloom::IntValues;
  static Float zero() { return _mm512_setzero_ps(); }
  static Float set(float x) { return _mm512_set1_ps(x); }
  static Float load(const float* p) { return _mm512_loadu_ps(p); }
  static void store(float* p, Float v) { _mm512_storeu_ps(p, v); }
  static Float add(Float a, Float b) { return _mm512_add_ps(a, b); }
  static Float mul(Float a, Float b) { return _mm512_mul_ps(a, b); }
  static Float divide(Float a, Float b) { return _mm512_div_ps(a, b); }
  static Float fma(Float a, Float b, Float c) { return _mm512_fmadd_ps(a, b, c); }
  static Float min(Float a, Float b) { return _mm512_min_ps(a, b); }
  static Float max(Float a, Float b) { return _mm512_max_ps(a, b); }
  static Float times_power(Float x, Float shifted) { return _mm512_scalef_ps(x, add(shifted, set(-12582912.0f))); }
  static __m256 halves(Float v) { return _mm256_add_ps(_mm512_castps512_ps256(v), _mm512_extractf32x8_ps(v, 1)); }
  static float sum(Float v) { return sum8(halves(v)); }
  static float greatest(Float v) {
    return greatest8(_mm256_max_ps(_mm512_castps512_ps256(v), _mm512_extractf32x8_ps(v, 1)));
  }
  static __m128 sums(const Float (&v)[4]) { return sums8(halves(v[0]), halves(v[1]), halves(v[2]), halves(v[3])); }
  /// Rows to columns.
  static void transpose(Float (&rows)[16]) {
    __m512i lanes[16];
    for (int i = 0; i < 16; ++i) lanes[i] = _mm512_castps_si512(rows[i]);
    transpose_fours(lanes);
    for (int i = 0; i < 16; ++i) rows[i] = _mm512_castsi512_ps(lanes[i]);
  }
  template <KvFormat kFormat>
  static Float widen(const std::byte* p) {
    if constexpr (kFormat == KvFormat::kFp32) return _mm512_loadu_ps(p);
    if constexpr (kFormat == KvFormat::kInt8) return of_codes(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
    if constexpr (kFormat == KvFormat::kFp8) return of_e4m3(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
    return of_halves<kFormat>(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
  }
  template <KvFormat kFormat>
  static Float widen_some(const std::byte* p, int64_t count) {
    const auto some = static_cast<__mmask16>((1 << count) - 1);
    if constexpr (kFormat == KvFormat::kFp32) return _mm512_maskz_loadu_ps(some, p);
    if constexpr (kFormat == KvFormat::kInt8) return of_codes(_mm_maskz_loadu_epi8(some, p));
    if constexpr (kFormat == KvFormat::kFp8) return of_e4m3(_mm_maskz_loadu_epi8(some, p));
    return of_halves<kFormat>(_mm256_maskz_loadu_epi16(some, p));
  }
  static Float of_codes(__m128i codes) { return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(codes)); }
  static Float of_e4m3(__m128i codes) {
    const __m256i halves = _mm256_slli_epi16(_mm256_cvtepi8_epi16(codes), 7);
    return _mm512_cvtph_ps(_mm256_and_si256(halves, _mm256_set1_epi16(kE4m3Half)));
  }
  template <KvFormat kFormat>
  static Float of_halves(__m256i halves) {
    if constexpr (kFormat == KvFormat::kFp16) return _mm512_cvtph_ps(halves);
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(halves), 16));
  }
};

}  // namespace
}  // namespace bitloom
