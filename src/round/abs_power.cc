#include "round/abs_power.h"

#include <bit>
#include <cmath>

#include "base/vector_clones.h"

namespace bitloom {
namespace {

/// log2 x for normal x > 0: x = m 2^e with m in [1/sqrt 2, sqrt 2), t = (m-1)/(m+1),
/// log2 m = 2 / ln 2 (t + t^3/3 + t^5/5 + t^7/7 + ...); |t| < 0.1716, so the first term dropped is below 2e-8.
inline float fast_log2(float x) {
  constexpr uint32_t kHalfRoot = 0x3F3504F3u;  // 1 / sqrt 2
  const uint32_t bits = std::bit_cast<uint32_t>(x) - kHalfRoot;
  const int e = static_cast<int>(bits) >> 23;
  const float m = std::bit_cast<float>((bits & 0x007FFFFFu) + kHalfRoot);
  const float t = (m - 1) / (m + 1), s = t * t;
  constexpr float kC1 = 2.885390081777927f;  // 2 / ln 2
  return static_cast<float>(e) + t * (kC1 + s * (kC1 / 3 + s * (kC1 / 5 + s * (kC1 / 7))));
}

/// 2^y for |y| <= 120: 2^i 2^f with f in [-1/2, 1/2], Taylor to f^6 (the next term is below 1.3e-7).
inline float fast_exp2(float y) {
  constexpr float kUnit = 12582912.0f;  // 1.5 * 2^23: adding it rounds to an integer
  const float i = (y + kUnit) - kUnit, f = (y - i) * 0.6931471805599453f;
  const float series =
      1 + f * (1 + f * (1.0f / 2 + f * (1.0f / 6 + f * (1.0f / 24 + f * (1.0f / 120 + f * (1.0f / 720))))));
  return series * std::bit_cast<float>(static_cast<uint32_t>(static_cast<int>(i) + 127) << 23);
}

BITLOOM_VECTOR_CLONES void square(float* x, int64_t n) {
  for (int64_t i = 0; i < n; ++i) x[i] = x[i] * x[i];
}

/// x = power * log2 |x|, kept above -120.
BITLOOM_VECTOR_CLONES void scaled_log2(float* x, int64_t n, float power) {
  constexpr int32_t kTiny = 0x00800000;  // the bits of 2^-126
  for (int64_t i = 0; i < n; ++i) {
    const int32_t bits = std::bit_cast<int32_t>(x[i]) & 0x7FFFFFFF;
    const float y = fast_log2(std::bit_cast<float>(bits > kTiny ? bits : kTiny)) * power;
    x[i] = y > -120.0f ? y : -120.0f;
  }
}

BITLOOM_VECTOR_CLONES void clamped_exp2(float* x, int64_t n) {
  for (int64_t i = 0; i < n; ++i) x[i] = fast_exp2(x[i] < 120.0f ? x[i] : 120.0f);
}

}  // namespace

// Two loops, since GCC turns both clamps in one into a branch and then does not vectorise.
void abs_power(float* x, int64_t n, double p) {
  if (p == 2) return square(x, n);
  scaled_log2(x, n, static_cast<float>(p));
  clamped_exp2(x, n);
}

}  // namespace bitloom
