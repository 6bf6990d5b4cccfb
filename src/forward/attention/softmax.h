#pragma once
// The numerically safe softmax of attention scores.

#include <cstdint>

namespace bitloom {

/// scores[i] <- cap * tanh(scores[i] / cap), i < count (Gemma 2, section 2).
void soft_cap(float cap, float* scores, int64_t count);

/// scores[i] <- e^(scores[i] - max), i < count; returns the sum of the results, with which the caller divides later.
/// count >= 1. A NaN among the scores makes the sum NaN.
float exp_shifted(float* scores, int64_t count);

/// The same beside one more score, which takes part in the maximum and in the sum.
float exp_shifted(float* scores, int64_t count, float beside);

}  // namespace bitloom
