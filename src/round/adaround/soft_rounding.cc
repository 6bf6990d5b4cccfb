#include "round/adaround/soft_rounding.h"

#include <bit>
#include <cmath>

#include "base/simd/simd_math.h"
#include "base/simd/vector_clones.h"

namespace bitloom {
namespace {

constexpr float kSpan = kStretchHigh - kStretchLow;

inline float clip_unit(float h) {
  const float a = h < 0.0f ? 0.0f : h;
  return a > 1.0f ? 1.0f : a;
}

/// Bits of the least magnitude whose power |x|^(beta - 1) is computed; smaller ones count as this: 2^-120 at the power.
int32_t least_bits(float beta) {
  const float power = beta - 1.0f;
  return std::bit_cast<int32_t>(power > 1.0f ? exp2_fp32(-120.0f / power) : 0x1p-120f);
}

/// (gain dq + regularizer f'(h)) h'(alpha); h' is 0 where the clip cuts.
inline float gradient_of(const SoftStep& o, int32_t least, float alpha, float dq, float gain) {
  const float s = sigmoid_fp32(alpha), h = s * kSpan + kStretchLow;
  const float u = 2.0f * h - 1.0f;
  // Clamped as an integer: a compiler that must preserve traps would branch on floats.
  const int32_t bits = std::bit_cast<int32_t>(u) & 0x7fffffff;
  const float magnitude = std::bit_cast<float>(bits > least ? bits : least);
  const float slope = -2.0f * o.beta * exp2_fp32(log2_fp32(magnitude) * (o.beta - 1.0f));
  const float df = std::bit_cast<float>(std::bit_cast<uint32_t>(slope) ^ (std::bit_cast<uint32_t>(u) & 0x80000000u));
  const uint32_t inside = bits < 0x3f800000 ? 0xffffffffu : 0u;  // |u| < 1
  const float dh = std::bit_cast<float>(std::bit_cast<uint32_t>(kSpan * s * (1.0f - s)) & inside);
  return (gain * dq + o.regularizer * df) * dh;
}

BITLOOM_VECTOR_CLONES void gradient_loop(SoftStep o, int32_t least, const float* alpha, const float* dq,
                                         const float* gain, int64_t n, float* gradient) {
  for (int64_t i = 0; i < n; ++i) gradient[i] = gradient_of(o, least, alpha[i], dq[i], gain[i]);
}

BITLOOM_VECTOR_CLONES void step_loop(SoftStep o, int32_t least, SoftRow row, const float* __restrict dq,
                                     const float* __restrict gain, int64_t n, float* __restrict deviation) {
  const float* __restrict base = row.base;
  const float* __restrict step = row.step;
  float* __restrict alpha = row.alpha;
  float* __restrict first = row.first;
  float* __restrict second = row.second;
  for (int64_t i = 0; i < n; ++i) {
    const float g = gradient_of(o, least, alpha[i], dq[i], gain[i]);
    const float m = kAdamFirst * first[i] + (1.0f - kAdamFirst) * g;
    const float v = kAdamSecond * second[i] + (1.0f - kAdamSecond) * (g * g);
    const float a = alpha[i] - o.rate * m / (std::sqrt(v) + kAdamEpsilon);
    first[i] = m, second[i] = v, alpha[i] = a;
    deviation[i] = base[i] + clip_unit(sigmoid_fp32(a) * kSpan + kStretchLow) * step[i];
  }
}

}  // namespace

float soft_alpha(float h) {
  const double s = 0.5 + (static_cast<double>(h) - 0.5) / static_cast<double>(kSpan);  // exactly 1/2 for 1/2
  return static_cast<float>(std::log(s / (1 - s)));
}

BITLOOM_VECTOR_CLONES void soft_deviation(const float* base, const float* step, const float* alpha, int64_t n,
                                          float* deviation) {
  for (int64_t i = 0; i < n; ++i) {
    deviation[i] = base[i] + clip_unit(sigmoid_fp32(alpha[i]) * kSpan + kStretchLow) * step[i];
  }
}

void soft_gradient(const SoftStep& options, const float* alpha, const float* dq, const float* gain, int64_t n,
                   float* gradient) {
  gradient_loop(options, least_bits(options.beta), alpha, dq, gain, n, gradient);
}

void soft_step(const SoftStep& options, const SoftRow& row, const float* dq, const float* gain, int64_t n,
               float* deviation) {
  step_loop(options, least_bits(options.beta), row, dq, gain, n, deviation);
}

}  // namespace bitloom
