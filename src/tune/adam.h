#pragma once
// Adam (Kingma and Ba, 2014, algorithm 1) on vectors of unlike sizes, with weight decay apart from the gradient
// (AdamW: Loshchilov and Hutter 2019, 1711.05101, algorithm 2).

#include <cstdint>
#include <map>
#include <string>

#include "forward/adjoint/gradient_sink.h"
#include "tune/learned/vectors.h"

namespace bitloom {

/// All that the next step depends on.
struct AdamState {
  Vectors values, first, second;  // first and second: running means of the gradient and of its square
  int64_t steps = 0;              // taken
  bool operator==(const AdamState&) const = default;
};

/// At `values`, before the first step.
AdamState begin_adam(Vectors values);

/// With g the gradient times the vector's size, so that steps are relative to it:
///   m <- 0.9 m + 0.1 g,  v <- 0.999 v + 0.001 g^2,  value -= rate * size * (m / (1 - 0.9^t)) / (sqrt(v / (1 -
///   0.999^t)) + e) + rate * decay * value
/// `gradients` may hold others besides; `sizes` has every vector.
void adam_step(const VectorGradients& gradients, const std::map<std::string, double>& sizes, double rate,
               AdamState& state, double decay = 0);

/// Whether the next step would be: the gradients of the state's vectors, not those of others.
bool are_finite(const VectorGradients& gradients, const AdamState& state);

/// Half a cosine from `rate` to 0: of step t of so many, t from 0. Of the first `warm_up` steps (t + 1) / warm_up of
/// `rate`; the cosine begins behind them.
double cosine_rate(double rate, int64_t t, int64_t steps, int64_t warm_up = 0);

}  // namespace bitloom
