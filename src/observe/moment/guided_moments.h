#pragma once
// Second moments that know the loss, of one linear layer y = W x, W [m, n], over tokens t with g_t the gradient of the
// summed loss with respect to y_t (GuidedQuant, Kim et al. 2025, with one group; YAQA, Tseng et al. 2025, sketch A;
// papers' beyond page, 2.3):
//
//   H_I = sum_t s_t x_t x_t^T,  s_t = |g_t|^2 / m        H_O = sum_t g_t g_t^T,  tr H_O = m sum_t s_t
//
// An error E of W costs about (m / tr H_O) tr(H_O E H_I E^T) / 2 nats in all.
//
// Both are kept as statistics of inputs, of sqrt(s_t) x_t and of g_t, and so are merged and written as these.

#include <optional>

#include "observe/input_statistics.h"

namespace bitloom {

struct GuidedMoments {
  /// Nothing seen yet; H_O where the needs ask for it.
  GuidedMoments(int64_t in, int64_t out, const Needs& needs);

  /// `tokens` rows of x [tokens, in] and dy [tokens, out], contiguous. Memory: x once more.
  void add(const float* x, const float* dy, int64_t tokens, ThreadPool& threads);

  const SecondMoment& in() const { return *weighted.moment; }
  const SecondMoment& out() const { return *gradients->moment; }

  int64_t out_channels;
  InputStatistics weighted;
  std::optional<InputStatistics> gradients;
};

}  // namespace bitloom
