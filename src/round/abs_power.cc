#include "round/abs_power.h"

#include <bit>
#include <cmath>

#include "base/simd_math.h"

namespace bitloom {

void abs_power(float* x, int64_t n, double p) {
  if (p == 2) {
    for (int64_t i = 0; i < n; ++i) x[i] = x[i] * x[i];
    return;
  }
  constexpr int32_t kTiny = 0x00800000;  // the bits of 2^-126
  const float power = static_cast<float>(p);
  // Two loops, since GCC turns both clamps in one into a branch and then does not vectorise.
  for (int64_t i = 0; i < n; ++i) {
    const int32_t bits = std::bit_cast<int32_t>(x[i]) & 0x7FFFFFFF;
    const float y = log2_fp32(std::bit_cast<float>(bits > kTiny ? bits : kTiny)) * power;
    x[i] = y > -120.0f ? y : -120.0f;
  }
  for (int64_t i = 0; i < n; ++i) x[i] = exp2_fp32(x[i] < 120.0f ? x[i] : 120.0f);
}

}  // namespace bitloom
