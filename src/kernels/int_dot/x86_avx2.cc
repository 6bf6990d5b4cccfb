// Compiled with -mavx2 -mfma -mf16c.

#include "kernels/int_dot/x86_loops.h"

namespace bitloom {
namespace {

struct Avx2 {
  struct F32 {
    __m256 low, high;
  };
  using Sum8 = __m256;
  using X = __m256i;

  static F32 zero() { return {_mm256_setzero_ps(), _mm256_setzero_ps()}; }
  template <int kBits>
  static F32 load(const float* x) {
    return {_mm256_loadu_ps(x), _mm256_loadu_ps(x + 8)};
  }

  /// Byte i of the result is code i: each byte moves to 16 bits, then its high nibble to the upper byte.
  static __m128i nibbles16(const std::byte* p) {
    const __m128i wide = _mm_cvtepu8_epi16(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p)));
    return _mm_and_si128(_mm_or_si128(wide, _mm_slli_epi16(wide, 4)), _mm_set1_epi8(15));
  }
  template <int kBits>
  static F32 levels(const std::byte* p) {
    __m128i bytes;
    if constexpr (kBits == 8) {
      bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
    } else {
      bytes = _mm_sub_epi8(_mm_xor_si128(nibbles16(p), _mm_set1_epi8(8)), _mm_set1_epi8(8));
    }
    return {_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(bytes)),
            _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_unpackhi_epi64(bytes, bytes)))};
  }
  static F32 fma(F32 a, F32 b, F32 c) {
    return {_mm256_fmadd_ps(a.low, b.low, c.low), _mm256_fmadd_ps(a.high, b.high, c.high)};
  }
  static F32 fma_scalar(F32 a, float s, F32 c) { return fma(a, {_mm256_set1_ps(s), _mm256_set1_ps(s)}, c); }
  static Sum8 fma_scalar(Sum8 a, float s, Sum8 c) { return _mm256_fmadd_ps(a, _mm256_set1_ps(s), c); }
  static float sum(F32 v) { return sum(_mm256_add_ps(v.low, v.high)); }
  static float sum(Sum8 v) {
    __m128 four = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    four = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(four, _mm_shuffle_ps(four, four, 1)));
  }
  static float f16(uint16_t bits) { return _cvtsh_ss(bits); }

  static Sum8 zero8() { return _mm256_setzero_ps(); }
  static X prepare(const int8_t* x) { return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(x)); }
  template <int kBits>
  static __m256i bytes(const std::byte* p) {
    if constexpr (kBits == 8) return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
    const __m256i wide = _mm256_cvtepu8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
    const __m256i codes = _mm256_and_si256(_mm256_or_si256(wide, _mm256_slli_epi16(wide, 4)), _mm256_set1_epi8(15));
    return _mm256_sub_epi8(_mm256_xor_si256(codes, _mm256_set1_epi8(8)), _mm256_set1_epi8(8));
  }
  /// maddubs multiplies unsigned by signed bytes: |level| <= 128 times x with the level's sign, |x| <= 127. A sum of
  /// two is at most 2 * 128 * 127 < 2^15, so nothing saturates.
  template <int kBits>
  static Sum8 add_dot(const std::byte* p, X x, float s, Sum8 c) {
    const __m256i levels = bytes<kBits>(p);
    const __m256i pairs = _mm256_maddubs_epi16(_mm256_abs_epi8(levels), _mm256_sign_epi8(x, levels));
    const __m256i fours = _mm256_madd_epi16(pairs, _mm256_set1_epi16(1));
    return _mm256_fmadd_ps(_mm256_cvtepi32_ps(fours), _mm256_set1_ps(s), c);
  }
};

}  // namespace

void int_dot_i4_f32_avx2(const IntDotCall& call) { run_int_dot<Avx2, 4, DotInput::kF32>(call); }
void int_dot_i8_f32_avx2(const IntDotCall& call) { run_int_dot<Avx2, 8, DotInput::kF32>(call); }
void int_dot_i4_q8_avx2(const IntDotCall& call) { run_int_dot<Avx2, 4, DotInput::kInt8>(call); }
void int_dot_i8_q8_avx2(const IntDotCall& call) { run_int_dot<Avx2, 8, DotInput::kInt8>(call); }

}  // namespace bitloom
