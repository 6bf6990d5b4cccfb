#pragma once
// Elementwise fp32 functions written without branches, so that loops over them become vector code on any ISA.
//
// Goals: a few ulp of error, the same bits on every machine (no fused multiply-add, no library call), NaN in = NaN out.
// Non-goals: correct rounding, denormal results (they become 0).

#include <bit>
#include <cstdint>

namespace bitloom {

/// e^x. x = n ln 2 + r with |r| <= ln(2)/2; e^r by its Taylor series to r^7/7!, whose remainder is below
/// r^8/8! * e^|r| < 8e-9, a tenth of an ulp; then the exponent is set to n. The product n * kLn2High is exact
/// (kLn2High is 22713 / 2^15, n has at most 8 bits), so r carries one rounding of its own size.
/// Relative error below 2e-7. 0 for x < -87.3 (result below the normal range), +inf for x > 88.3.
inline float exp_fp32(float x) {
  constexpr float kLog2e = 1.44269504f, kLn2High = 0.693145752f, kLn2Low = 1.42860682e-6f;
  constexpr float kRound = 12582912.0f;  // 1.5 * 2^23: adding it leaves the nearest integer in the low bits
  const float shifted = x * kLog2e + kRound;
  const float n = shifted - kRound;
  const float r = (x - n * kLn2High) - n * kLn2Low;
  float p = 1.0f / 5040;
  p = p * r + 1.0f / 720;
  p = p * r + 1.0f / 120;
  p = p * r + 1.0f / 24;
  p = p * r + 1.0f / 6;
  p = p * r + 0.5f;
  p = p * r + 1.0f;
  p = p * r + 1.0f;
  const uint32_t exponent = std::bit_cast<uint32_t>(shifted) - std::bit_cast<uint32_t>(kRound) + 127u;
  const float y = p * std::bit_cast<float>(exponent << 23);
  // Masks rather than a choice of results: a compiler that must preserve traps would branch.
  const uint32_t keep = x < -87.3f ? 0u : 0xffffffffu;
  const uint32_t keep_too = x > 88.3f ? 0u : 0xffffffffu;
  const uint32_t infinite = ~keep_too & 0x7f800000u;
  return std::bit_cast<float>((std::bit_cast<uint32_t>(y) & keep & keep_too) | infinite);
}

/// log2 x for normal x > 0: x = m 2^e with m in [1/sqrt 2, sqrt 2), t = (m-1)/(m+1),
/// log2 m = 2 / ln 2 (t + t^3/3 + t^5/5 + t^7/7 + ...); |t| < 0.1716, so the first term dropped is below 4e-8.
inline float log2_fp32(float x) {
  constexpr uint32_t kHalfRoot = 0x3F3504F3u;  // 1 / sqrt 2
  const uint32_t bits = std::bit_cast<uint32_t>(x) - kHalfRoot;
  const int e = static_cast<int>(bits) >> 23;
  const float m = std::bit_cast<float>((bits & 0x007FFFFFu) + kHalfRoot);
  const float t = (m - 1) / (m + 1), s = t * t;
  constexpr float kC1 = 2.885390081777927f;  // 2 / ln 2
  return static_cast<float>(e) + t * (kC1 + s * (kC1 / 3 + s * (kC1 / 5 + s * (kC1 / 7))));
}

/// 2^y for |y| <= 120: 2^i 2^f with f in [-1/2, 1/2], Taylor to f^6 (the next term is below 1.3e-7).
inline float exp2_fp32(float y) {
  constexpr float kUnit = 12582912.0f;  // 1.5 * 2^23: adding it rounds to an integer
  const float i = (y + kUnit) - kUnit, f = (y - i) * 0.6931471805599453f;
  const float series =
      1 + f * (1 + f * (1.0f / 2 + f * (1.0f / 6 + f * (1.0f / 24 + f * (1.0f / 120 + f * (1.0f / 720))))));
  return series * std::bit_cast<float>(static_cast<uint32_t>(static_cast<int>(i) + 127) << 23);
}

/// 1 / (1 + e^-x), relative error a few ulp on both sides.
inline float sigmoid_fp32(float x) { return 1.0f / (1.0f + exp_fp32(-x)); }

/// tanh x = 2 sigmoid(2x) - 1: absolute error below 3e-7 (relative accuracy is lost near 0, which the caller must not
/// need).
inline float tanh_fp32(float x) { return 2.0f * sigmoid_fp32(2.0f * x) - 1.0f; }

}  // namespace bitloom
