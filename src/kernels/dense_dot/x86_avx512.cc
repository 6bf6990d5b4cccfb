// Compiled with -mavx512f -mavx512bw -mavx512dq -mavx512vl -mavx512vnni -mfma -mf16c.

#include "kernels/dense_dot/x86_loops.h"

namespace bitloom {
namespace {

struct Avx512 {
  using Float = __m512;
  static constexpr int64_t kLanes = 16;
  static constexpr int kTokens = 4;
  static Float zero() { return _mm512_setzero_ps(); }
  static Float load(const float* p) { return _mm512_loadu_ps(p); }
  static void store(float* p, Float v) { _mm512_storeu_ps(p, v); }
  static Float fma(Float a, Float b, Float c) { return _mm512_fmadd_ps(a, b, c); }
  static float sum(Float v) { return sum8(_mm256_add_ps(_mm512_castps512_ps256(v), _mm512_extractf32x8_ps(v, 1))); }
  template <DType kType>
  static Float widen(const std::byte* p) {
    if constexpr (kType == DType::kF32) return _mm512_loadu_ps(p);
    const __m256i halves = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
    if constexpr (kType == DType::kF16) return _mm512_cvtph_ps(halves);
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(halves), 16));
  }
};

}  // namespace

void dense_dot_bf16_avx512(const DenseDotCall& call) { run_dense_dot<Avx512, DType::kBF16>(call); }
void dense_dot_f16_avx512(const DenseDotCall& call) { run_dense_dot<Avx512, DType::kF16>(call); }
void dense_dot_f32_avx512(const DenseDotCall& call) { run_dense_dot<Avx512, DType::kF32>(call); }

}  // namespace bitloom
