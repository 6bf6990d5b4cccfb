#include "forward/layers/activation.h"

#include <algorithm>
#include <cmath>

#include "base/simd/simd_math.h"
#include "base/simd/vector_clones.h"

namespace bitloom {
namespace {

float silu(float x) { return x * sigmoid_fp32(x); }

float gelu(float x) { return 0.5f * x * (1.0f + std::erf(x * 0.707106781f)); }

// (1 + tanh u) / 2 = sigmoid(2u), which keeps its relative accuracy for large negative u.
float gelu_tanh(float x) { return x * sigmoid_fp32(2.0f * 0.797884561f * (x + 0.044715f * x * x * x)); }

// Written so that NaN stays NaN.
float relu(float x) { return x < 0.0f ? 0.0f : x; }

BITLOOM_VECTOR_CLONES void silu_all(const float* x, int64_t count, float* out) {
#pragma omp simd
  for (int64_t i = 0; i < count; ++i) out[i] = silu(x[i]);
}

BITLOOM_VECTOR_CLONES void gelu_tanh_all(const float* x, int64_t count, float* out) {
#pragma omp simd
  for (int64_t i = 0; i < count; ++i) out[i] = gelu_tanh(x[i]);
}

// Comparisons written so that NaN stays NaN.
BITLOOM_VECTOR_CLONES void clamped_all(float limit, float slope, const float* gate, const float* up, int64_t count,
                                       float* out) {
#pragma omp simd
  for (int64_t i = 0; i < count; ++i) {
    const float g = gate[i] > limit ? limit : gate[i];
    const float low = up[i] < -limit ? -limit : up[i];
    const float u = low > limit ? limit : low;
    out[i] = g * sigmoid_fp32(slope * g) * (u + 1.0f);
  }
}

void gelu_all(const float* x, int64_t count, float* out) {
  for (int64_t i = 0; i < count; ++i) out[i] = gelu(x[i]);
}

void relu_squared_all(const float* x, int64_t count, float* out) {
  for (int64_t i = 0; i < count; ++i) out[i] = relu(x[i]) * relu(x[i]);
}

void relu_all(const float* x, int64_t count, float* out) {
  for (int64_t i = 0; i < count; ++i) out[i] = relu(x[i]);
}

}  // namespace

void activate(Activation activation, const float* x, int64_t count, float* out) {
  switch (activation) {
    case Activation::kSilu:
      return silu_all(x, count, out);
    case Activation::kGelu:
      return gelu_all(x, count, out);
    case Activation::kGeluTanh:
      return gelu_tanh_all(x, count, out);
    case Activation::kRelu:
      return relu_all(x, count, out);
    case Activation::kReluSquared:
      return relu_squared_all(x, count, out);
  }
}

namespace {

float sigmoid(float x) { return 1.0f / (1.0f + std::exp(-x)); }

float slope(Activation activation, float x) {
  switch (activation) {
    case Activation::kSilu: {
      const float s = sigmoid(x);
      return s + x * s * (1.0f - s);
    }
    case Activation::kGelu:
      return 0.5f * (1.0f + std::erf(x * 0.707106781f)) + x * 0.398942280f * std::exp(-0.5f * x * x);
    case Activation::kGeluTanh: {
      const float s = sigmoid(2.0f * 0.797884561f * (x + 0.044715f * x * x * x));
      return s + x * s * (1.0f - s) * 2.0f * 0.797884561f * (1.0f + 3.0f * 0.044715f * x * x);
    }
    case Activation::kRelu:
      return x > 0.0f ? 1.0f : 0.0f;
    case Activation::kReluSquared:
      return 2.0f * relu(x);
  }
  return 0.0f;
}

void clamped_adjoint(const Mlp& mlp, const float* gate, const float* up, const float* dy, int64_t count, float* d_gate,
                     float* d_up) {
  const float limit = mlp.clamp;
  for (int64_t i = 0; i < count; ++i) {
    const float g = std::min(gate[i], limit), u = std::clamp(up[i], -limit, limit), d = dy[i];
    const float s = sigmoid(mlp.gate_slope * g);
    d_gate[i] = gate[i] > limit ? 0.0f : d * (u + 1.0f) * s * (1.0f + mlp.gate_slope * g * (1.0f - s));
    d_up[i] = std::abs(up[i]) > limit ? 0.0f : d * g * s;
  }
}

}  // namespace

void activate_adjoint(Activation activation, const float* x, const float* dy, int64_t count, float* dx) {
  for (int64_t i = 0; i < count; ++i) dx[i] = dy[i] * slope(activation, x[i]);
}

void activate_gated_adjoint(const Mlp& mlp, const float* gate, const float* up, const float* dy, int64_t count,
                            float* d_gate, float* d_up) {
  if (mlp.clamp > 0.0f) return clamped_adjoint(mlp, gate, up, dy, count, d_gate, d_up);
  activate(mlp.activation, gate, count, d_up);
  for (int64_t i = 0; i < count; ++i) {
    d_gate[i] = dy[i] * up[i] * slope(mlp.activation, gate[i]);
    d_up[i] *= dy[i];
  }
}

void activate_gated(Activation activation, const float* gate, const float* up, int64_t count, float* out) {
  constexpr int64_t kPiece = 256;
  float activated[kPiece];
  for (int64_t begin = 0; begin < count; begin += kPiece) {
    const int64_t size = std::min(kPiece, count - begin);
    activate(activation, gate + begin, size, activated);
    for (int64_t i = 0; i < size; ++i) out[begin + i] = activated[i] * up[begin + i];
  }
}

void activate_gated(const Mlp& mlp, const float* gate, const float* up, int64_t count, float* out) {
  if (mlp.clamp > 0.0f) return clamped_all(mlp.clamp, mlp.gate_slope, gate, up, count, out);
  activate_gated(mlp.activation, gate, up, count, out);
}

}  // namespace bitloom
