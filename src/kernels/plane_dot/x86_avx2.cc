
#include "kernels/plane_dot/x86_loops.h"
#include "kernels/x86_intrinsics.h"
#include "kernels/x86_nibbles_avx2.h"

namespace bitloom {
namespace {

/// 16 floats.
struct Pair {
  __m256 half[2];
};

struct Avx2 {
  static constexpr int tiles(int) { return 1; }
  using Float = Pair;
  using Int = RowInts;
  using Bits = NibbleIndices;
  template <int kPlanes>
  using Sums = DigitSums<kPlanes>;
  template <int kPlanes>
  struct Tables {
    explicit Tables(const WordDigits<kPlanes>& given) : word(given) {}
    void add(const Bits& at, Sums<kPlanes>& sums) const { sums.add(word, at); }
    const WordDigits<kPlanes>& word;
  };

  static Float zero() { return {{_mm256_setzero_ps(), _mm256_setzero_ps()}}; }
  static Float set(float x) { return {{_mm256_set1_ps(x), _mm256_set1_ps(x)}}; }
  static Int int_sub(const Int& a, const Int& b) {
    return {{_mm256_sub_epi32(a.half[0], b.half[0]), _mm256_sub_epi32(a.half[1], b.half[1])}};
  }
  static Int twice(const Int& a) {
    return {{_mm256_add_epi32(a.half[0], a.half[0]), _mm256_add_epi32(a.half[1], a.half[1])}};
  }
  static Float to_float(const Int& a) { return {{_mm256_cvtepi32_ps(a.half[0]), _mm256_cvtepi32_ps(a.half[1])}}; }
  static Float sub(const Float& a, const Float& b) {
    return {{_mm256_sub_ps(a.half[0], b.half[0]), _mm256_sub_ps(a.half[1], b.half[1])}};
  }
  static Float mul(const Float& a, const Float& b) {
    return {{_mm256_mul_ps(a.half[0], b.half[0]), _mm256_mul_ps(a.half[1], b.half[1])}};
  }
  static Float fma(const Float& a, const Float& b, const Float& c) {
    return {{_mm256_fmadd_ps(a.half[0], b.half[0], c.half[0]), _mm256_fmadd_ps(a.half[1], b.half[1], c.half[1])}};
  }
  static __m256 eight_levels(const std::byte* p, bool fp8) {
    const auto* at = reinterpret_cast<const __m128i*>(p);
    if (!fp8) return _mm256_cvtph_ps(_mm_loadu_si128(at));
    // As a half, whose exponents are 8 greater: 3 bits of mantissa, 4 of exponent, the sign from above.
    const __m128i wide = _mm_cvtepi8_epi16(_mm_loadl_epi64(at));
    const __m128i half = _mm_and_si128(_mm_slli_epi16(wide, 7), _mm_set1_epi16(static_cast<int16_t>(0xBFFF)));
    return _mm256_cvtph_ps(half);
  }
  static Float levels(const std::byte* p, bool fp8) {
    return {{eight_levels(p, fp8), eight_levels(p + (fp8 ? 8 : 16), fp8)}};
  }
  static void store(float* y, int64_t rows, const Float& sums) {
    float out[16];
    _mm256_storeu_ps(out, sums.half[0]);
    _mm256_storeu_ps(out + 8, sums.half[1]);
    std::copy_n(out, rows, y);
  }
  static Bits bits(const std::byte* codes, int64_t bytes) { return Bits(load_word(codes, bytes)); }
  static Bits both(const Bits& a, const Bits& b) {
    Bits both;
    for (int k = 0; k < 2; ++k) {
      both.low[k] = _mm256_and_si256(a.low[k], b.low[k]), both.high[k] = _mm256_and_si256(a.high[k], b.high[k]);
    }
    return both;
  }
};

}  // namespace

void plane_dot_v256(const PlaneDotCall& call) { run_plane_dot<Avx2>(call); }

}  // namespace bitloom
