#include <immintrin.h>

#include "kernels/plane_dot/x86_loops.h"
#include "kernels/x86_nibbles_avx512.h"

namespace bitloom {
namespace {

struct Avx512 {
  static constexpr int kTiles = 2;
  using Float = __m512;
  using Bits = NibbleIndices;
  template <int kPlanes>
  using Tables = NibbleTables<kPlanes>;

  static Float zero() { return _mm512_setzero_ps(); }
  static Float set(float x) { return _mm512_set1_ps(x); }
  static Float add(Float a, Float b) { return _mm512_add_ps(a, b); }
  static Float sub(Float a, Float b) { return _mm512_sub_ps(a, b); }
  static Float mul(Float a, Float b) { return _mm512_mul_ps(a, b); }
  static Float fma(Float a, Float b, Float c) { return _mm512_fmadd_ps(a, b, c); }
  static Float levels(const std::byte* p, bool fp8) {
    if (!fp8) return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
    // As a half, whose exponents are 8 greater.
    const __m256i bytes = _mm256_cvtepu8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
    const __m256i sign = _mm256_slli_epi16(_mm256_and_si256(bytes, _mm256_set1_epi16(0x80)), 8);
    const __m256i size = _mm256_slli_epi16(_mm256_and_si256(bytes, _mm256_set1_epi16(0x7F)), 7);
    return _mm512_mul_ps(_mm512_cvtph_ps(_mm256_or_si256(sign, size)), _mm512_set1_ps(256));
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
