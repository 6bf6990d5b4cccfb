#include <immintrin.h>

#include <cstring>

#include "kernels/bit_lanes.h"
#include "kernels/row_table_dot/x86_loops.h"
#include "kernels/x86_sum.h"

namespace bitloom {
namespace {

struct Avx2 {
  static constexpr int kLanes = 8;
  using Float = __m256;

  static Float zero() { return _mm256_setzero_ps(); }
  static Float fma(Float a, Float b, Float c) { return _mm256_fmadd_ps(a, b, c); }
  static float sum(Float a) { return sum8(a); }
  static Float load(const float* x, int64_t count) {
    if (count == 8) return _mm256_loadu_ps(x);
    alignas(32) float few[8] = {};
    std::memcpy(few, x, static_cast<size_t>(count) * sizeof *x);
    return _mm256_load_ps(few);
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

void row_table_dot_avx2(const RowTableDotCall& call) { run_row_table_dot<Avx2>(call); }

}  // namespace bitloom
