// Compiled with -mavx512f -mavx512bw -mavx512dq -mavx512vl -mavx512vnni -mfma -mf16c.

#include "kernels/int_dot/x86_loops.h"

namespace bitloom {
namespace {

struct Avx512Vnni {
  using F32 = __m512;
  using Sum8 = __m256;
  /// x, and per four columns -8 (or -128) times their sum: vpdpbusd takes unsigned codes, level + 8 (or + 128).
  struct X {
    __m256i values, offset4, offset8;
  };

  static F32 zero() { return _mm512_setzero_ps(); }
  /// Four-bit levels come as columns 0, 8, 1, 9, ... (see levels), so x does as well.
  template <int kBits>
  static F32 load(const float* x) {
    if constexpr (kBits == 8) return _mm512_loadu_ps(x);
    const __m512i columns = _mm512_set_epi32(15, 7, 14, 6, 13, 5, 12, 4, 11, 3, 10, 2, 9, 1, 8, 0);
    return _mm512_permutexvar_ps(columns, _mm512_loadu_ps(x));
  }
  template <int kBits>
  static F32 levels(const std::byte* p) {
    if constexpr (kBits == 8) {
      return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))));
    }
    // All eight bytes in every pair of lanes: columns 0..7 in the even lanes, 8..15 in the odd ones. Each pair shifts
    // its own code down and looks the lowest four bits up: no mask, no conversion.
    int64_t codes;
    std::memcpy(&codes, p, sizeof codes);
    const __m512i shifts = _mm512_set_epi32(28, 28, 24, 24, 20, 20, 16, 16, 12, 12, 8, 8, 4, 4, 0, 0);
    const __m512 table = _mm512_set_ps(-1, -2, -3, -4, -5, -6, -7, -8, 7, 6, 5, 4, 3, 2, 1, 0);
    return _mm512_permutexvar_ps(_mm512_srlv_epi32(_mm512_set1_epi64(codes), shifts), table);
  }
  static F32 fma(F32 a, F32 b, F32 c) { return _mm512_fmadd_ps(a, b, c); }
  static F32 fma_scalar(F32 a, float s, F32 c) { return _mm512_fmadd_ps(a, _mm512_set1_ps(s), c); }
  static Sum8 fma_scalar(Sum8 a, float s, Sum8 c) { return _mm256_fmadd_ps(a, _mm256_set1_ps(s), c); }
  static float sum(F32 v) { return sum(_mm256_add_ps(_mm512_castps512_ps256(v), _mm512_extractf32x8_ps(v, 1))); }
  static float sum(Sum8 v) {
    __m128 four = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    four = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(four, _mm_shuffle_ps(four, four, 1)));
  }
  static float f16(uint16_t bits) { return _cvtsh_ss(bits); }

  static Sum8 zero8() { return _mm256_setzero_ps(); }
  static X prepare(const int8_t* x) {
    const __m256i values = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(x)), none = _mm256_setzero_si256();
    const __m256i sums = _mm256_dpbusd_epi32(none, _mm256_set1_epi8(1), values);
    return {values, _mm256_sub_epi32(none, _mm256_slli_epi32(sums, 3)),
            _mm256_sub_epi32(none, _mm256_slli_epi32(sums, 7))};
  }
  /// Four products of at most 255 * 127 beside an offset of at most 4 * 128 * 127: far from saturating 32 bits.
  template <int kBits>
  static Sum8 add_dot(const std::byte* p, X x, float s, Sum8 c) {
    __m256i fours;
    if constexpr (kBits == 8) {
      const __m256i codes = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
      fours = _mm256_dpbusd_epi32(x.offset8, _mm256_xor_si256(codes, _mm256_set1_epi8(-128)), x.values);
    } else {
      const __m256i wide = _mm256_cvtepu8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
      const __m256i codes = _mm256_and_si256(_mm256_or_si256(wide, _mm256_slli_epi16(wide, 4)), _mm256_set1_epi8(15));
      fours = _mm256_dpbusd_epi32(x.offset4, _mm256_xor_si256(codes, _mm256_set1_epi8(8)), x.values);
    }
    return _mm256_fmadd_ps(_mm256_cvtepi32_ps(fours), _mm256_set1_ps(s), c);
  }
};

}  // namespace

void int_dot_i4_f32_avx512vnni(const IntDotCall& call) { run_int_dot<Avx512Vnni, 4, DotInput::kF32>(call); }
void int_dot_i8_f32_avx512vnni(const IntDotCall& call) { run_int_dot<Avx512Vnni, 8, DotInput::kF32>(call); }
void int_dot_i4_q8_avx512vnni(const IntDotCall& call) { run_int_dot<Avx512Vnni, 4, DotInput::kInt8>(call); }
void int_dot_i8_q8_avx512vnni(const IntDotCall& call) { run_int_dot<Avx512Vnni, 8, DotInput::kInt8>(call); }

}  // namespace bitloom
