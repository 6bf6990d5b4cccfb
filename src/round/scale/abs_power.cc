#include "round/scale/abs_power.h"

#include <bit>
#include <cmath>

#include "base/simd/simd_math.h"
#include "base/simd/vector_clones.h"

namespace bitloom {
namespace {

BITLOOM_VECTOR_CLONES void square(float* x, int64_t n) {
  for (int64_t i = 0; i < n; ++i) x[i] = x[i] * x[i];
}

/// x = power * log2 |x|, kept above -120.
BITLOOM_VECTOR_CLONES void scaled_log2(float* x, int64_t n, float power) {
  constexpr int32_t kTiny = 0x00800000;  // the bits of 2^-126
  for (int64_t i = 0; i < n; ++i) {
    const int32_t bits = std::bit_cast<int32_t>(x[i]) & 0x7FFFFFFF;
    const float y = log2_fp32(std::bit_cast<float>(bits > kTiny ? bits : kTiny)) * power;
    x[i] = y > -120.0f ? y : -120.0f;
  }
}

BITLOOM_VECTOR_CLONES void clamped_exp2(float* x, int64_t n) {
  for (int64_t i = 0; i < n; ++i) x[i] = exp2_fp32(x[i] < 120.0f ? x[i] : 120.0f);
}

}  // namespace

// Two loops, since GCC turns both clamps in one into a branch and then does not vectorise.
void abs_power(float* x, int64_t n, double p) {
  if (p == 2) return square(x, n);
  scaled_log2(x, n, static_cast<float>(p));
  clamped_exp2(x, n);
}

}  // namespace bitloom
