#include <immintrin.h>

#include "kernels/bit_lanes.h"
#include "kernels/row_table_dot/x86_loops.h"

namespace bitloom {
namespace {

struct Avx512 {
  static constexpr int kLanes = 16;
  using Float = __m512;

  static Float zero() { return _mm512_setzero_ps(); }
  static Float fma(Float a, Float b, Float c) { return _mm512_fmadd_ps(a, b, c); }
  static float sum(Float a) { return _mm512_reduce_add_ps(a); }
  static Float load(const float* x, int64_t count) {
    return _mm512_maskz_loadu_ps(static_cast<__mmask16>((1u << count) - 1), x);
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
      return _mm512_i32gather_ps(_mm512_and_si512(codes, _mm512_set1_epi32((1 << kBits) - 1)), levels, 4);
    }
    const float* levels;
  };
};

}  // namespace

void row_table_dot_avx512vnni(const RowTableDotCall& call) { run_row_table_dot<Avx512>(call); }

}  // namespace bitloom
