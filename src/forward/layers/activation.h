#pragma once
// The elementwise part of the MLP.

#include <cstdint>

#include "model/graph.h"

namespace bitloom {

/// out[i] = act(x[i]), i < count. In place when out == x.
///   silu       x / (1 + e^-x)
///   gelu       x/2 (1 + erf(x / sqrt 2))                                      (Hendrycks & Gimpel, 2016)
///   gelu_tanh  x/2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3)))
///   relu       max(x, 0)
///   relu2      max(x, 0)^2                                                    (So et al., Primer, 2021)
void activate(Activation activation, const float* x, int64_t count, float* out);

/// out[i] = act(gate[i]) * up[i]. In place when out == gate or out == up.
void activate_gated(Activation activation, const float* gate, const float* up, int64_t count, float* out);

/// The same by what the MLP says of its gate, its clamp included.
void activate_gated(const Mlp& mlp, const float* gate, const float* up, int64_t count, float* out);

/// dx[i] = dy[i] act'(x[i]), with s the sigmoid's value and u = sqrt(2/pi) (x + 0.044715 x^3):
///   silu       s + x s (1 - s)
///   gelu       (1 + erf(x / sqrt 2)) / 2 + x e^(-x^2 / 2) / sqrt(2 pi)
///   gelu_tanh  s + x s (1 - s) 2 u',  s = sigmoid(2 u)
///   relu       1 where x > 0
///   relu2      2 max(x, 0)
/// In place when dx == dy.
void activate_adjoint(Activation activation, const float* x, const float* dy, int64_t count, float* dx);

/// Of activate_gated: d_gate = dy up act'(gate), d_up = dy act(gate); with a clamp, where gate and up lie within it,
///   d_gate = dy (u + 1) s (1 + a g (1 - s)),  d_up = dy g s,  s = sigmoid(a g), a the gate's slope
/// and 0 where they do not.
void activate_gated_adjoint(const Mlp& mlp, const float* gate, const float* up, const float* dy, int64_t count,
                            float* d_gate, float* d_up);

}  // namespace bitloom
