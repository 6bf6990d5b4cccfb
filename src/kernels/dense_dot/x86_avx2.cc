// Compiled with -mavx2 -mfma -mf16c.

#include "kernels/dense_dot/x86_loops.h"

namespace bitloom {
namespace {

struct Avx2 {
  using Float = __m256;
  static constexpr int64_t kLanes = 8;
  static constexpr int kTokens = 2;
  static Float zero() { return _mm256_setzero_ps(); }
  static Float load(const float* p) { return _mm256_loadu_ps(p); }
  static void store(float* p, Float v) { _mm256_storeu_ps(p, v); }
  static Float fma(Float a, Float b, Float c) { return _mm256_fmadd_ps(a, b, c); }
  static float sum(Float v) { return sum8(v); }
  template <DType kType>
  static Float widen(const std::byte* p) {
    if constexpr (kType == DType::kF32) return _mm256_loadu_ps(reinterpret_cast<const float*>(p));
    const __m128i halves = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
    if constexpr (kType == DType::kF16) return _mm256_cvtph_ps(halves);
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(halves), 16));
  }
};

}  // namespace

void dense_dot_bf16_v256(const DenseDotCall& call) { run_dense_dot<Avx2, DType::kBF16>(call); }
void dense_dot_f16_v256(const DenseDotCall& call) { run_dense_dot<Avx2, DType::kF16>(call); }
void dense_dot_f32_v256(const DenseDotCall& call) { run_dense_dot<Avx2, DType::kF32>(call); }

}  // namespace bitloom
