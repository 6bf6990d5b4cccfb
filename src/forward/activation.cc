#include "forward/activation.h"

#include <cmath>

#include "forward/simd_math.h"

namespace bitloom {
namespace {

float silu(float x) { return x * sigmoid_fp32(x); }

float gelu(float x) { return 0.5f * x * (1.0f + std::erf(x * 0.707106781f)); }

// (1 + tanh u) / 2 = sigmoid(2u), which keeps its relative accuracy for large negative u.
float gelu_tanh(float x) { return x * sigmoid_fp32(2.0f * 0.797884561f * (x + 0.044715f * x * x * x)); }

// Written so that NaN stays NaN.
float relu(float x) { return x < 0.0f ? 0.0f : x; }

template <typename Body>
void dispatch(Activation activation, const Body& body) {
  switch (activation) {
    case Activation::kSilu:
      return body([](float x) { return silu(x); });
    case Activation::kGelu:
      return body([](float x) { return gelu(x); });
    case Activation::kGeluTanh:
      return body([](float x) { return gelu_tanh(x); });
    case Activation::kRelu:
      return body([](float x) { return relu(x); });
  }
}

}  // namespace

void activate(Activation activation, const float* x, int64_t count, float* out) {
  dispatch(activation, [=](auto act) {
#pragma omp simd
    for (int64_t i = 0; i < count; ++i) out[i] = act(x[i]);
  });
}

void activate_gated(Activation activation, const float* gate, const float* up, int64_t count, float* out) {
  dispatch(activation, [=](auto act) {
#pragma omp simd
    for (int64_t i = 0; i < count; ++i) out[i] = act(gate[i]) * up[i];
  });
}

}  // namespace bitloom
