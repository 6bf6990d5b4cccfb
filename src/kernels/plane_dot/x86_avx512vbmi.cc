#include <immintrin.h>

#include "kernels/plane_dot/x86_loops.h"
#include "kernels/x86_nibbles_avx512.h"

namespace bitloom {
namespace {

struct Avx512 {
  static constexpr int tiles(int planes) { return planes == 2 ? 2 : 1; }
  using Float = __m512;
  using Int = __m512i;
  using Bits = NibbleIndices;
  template <int kPlanes>
  using Tables = NibbleTables<kPlanes>;

  template <int kPlanes>
  using Sums = DigitSums<kPlanes>;

  static Float zero() { return _mm512_setzero_ps(); }
  static Float set(float x) { return _mm512_set1_ps(x); }
  static Int int_sub(Int a, Int b) { return _mm512_sub_epi32(a, b); }
  static Int twice(Int a) { return _mm512_add_epi32(a, a); }
  static Float to_float(Int a) { return _mm512_cvtepi32_ps(a); }
  static Float sub(Float a, Float b) { return _mm512_sub_ps(a, b); }
  static Float mul(Float a, Float b) { return _mm512_mul_ps(a, b); }
  static Float fma(Float a, Float b, Float c) { return _mm512_fmadd_ps(a, b, c); }
  static Float levels(const std::byte* p, bool fp8) {
    if (!fp8) return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
    // As a half, whose exponents are 8 greater: 3 bits of mantissa, 4 of exponent, the sign from above.
    const __m256i wide = _mm256_cvtepi8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
    const __m256i half = _mm256_and_si256(_mm256_slli_epi16(wide, 7), _mm256_set1_epi16(static_cast<int16_t>(0xBFFF)));
    return _mm512_cvtph_ps(half);
  }
  static void store(float* y, int64_t rows, Float sums) {
    _mm512_mask_storeu_ps(y, static_cast<__mmask16>((1u << rows) - 1), sums);
  }
  static Bits bits(const std::byte* codes, int64_t bytes) {
    return NibbleIndices(bytes == 4 ? _mm512_loadu_si512(codes) : load_short_word(codes, bytes));
  }
  static Bits both(const Bits& a, const Bits& b) {
    Bits both;
    both.low = _mm512_and_si512(a.low, b.low), both.high = _mm512_and_si512(a.high, b.high);
    return both;
  }
};

}  // namespace

void plane_dot_avx512vbmi(const PlaneDotCall& call) { run_plane_dot<Avx512>(call); }

}  // namespace bitloom
