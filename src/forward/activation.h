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

}  // namespace bitloom
