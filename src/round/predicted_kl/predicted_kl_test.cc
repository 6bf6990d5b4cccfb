#include "round/predicted_kl/predicted_kl.h"

#include <gtest/gtest.h>

#include <cmath>

#include "base/memory/dense_matrix.h"
#include "base/rng.h"
#include "base/test_data.h"
#include "round/test_matrix.h"

namespace bitloom {
namespace {

/// Gradients g and inputs x of `tokens` tokens.
struct Tokens {
  std::vector<float> x, g;
  Tokens(int64_t tokens, int64_t in, int64_t out)
      : x(static_cast<size_t>(tokens * in)), g(static_cast<size_t>(tokens * out)) {
    Rng rng(4, 4);
    for (float& value : x) value = static_cast<float>(rng.normal());
    for (float& value : g) value = static_cast<float>(rng.normal());
  }
};

// Of one token the loss's second order, (g . E x)^2 / 2.
TEST(PredictedKl, OfOneToken) {
  const DenseMatrix w = testing::normal_matrix(70, 90, 1), q = testing::normal_matrix(70, 90, 2);
  const Tokens one(1, 90, 70);
  ThreadPool threads(2);
  GuidedMoments moments(90, 70, {.guided_moment = true, .output_moment = true});
  moments.add(one.x.data(), one.g.data(), 1, threads);
  double along = 0;
  for (size_t r = 0; r < 70; ++r) {
    for (size_t c = 0; c < 90; ++c) along += one.g[r] * (w.values()[r * 90 + c] - q.values()[r * 90 + c]) * one.x[c];
  }
  EXPECT_NEAR(predicted_kl(w, q, moments, threads), along * along / 2, 1e-3 * along * along);
}

// Outputs whose gradients do not go together: |g|^2 / m |E x|^2 / 2 on average, with H_O or without.
TEST(PredictedKl, WithoutOutputMomentGradientsCountAsUncorrelated) {
  const DenseMatrix w = testing::normal_matrix(8, 16, 1), q = testing::normal_matrix(8, 16, 2);
  Tokens many(800, 16, 8);
  for (size_t i = 0; i < many.g.size(); ++i) many.g[i] = i % 8 == i / 8 % 8 ? 2.0f : 0.0f;
  ThreadPool threads(1);
  GuidedMoments with(16, 8, {.guided_moment = true, .output_moment = true}), without(16, 8, {.guided_moment = true});
  with.add(many.x.data(), many.g.data(), 800, threads);
  without.add(many.x.data(), many.g.data(), 800, threads);
  const double expected = predicted_kl(w, q, without, threads);
  EXPECT_GT(expected, 0);
  EXPECT_NEAR(predicted_kl(w, q, with, threads), expected, 1e-5 * expected);
}

TEST(PredictedKl, RefusesOtherShapes) {
  const DenseMatrix w = testing::normal_matrix(8, 16, 1);
  ThreadPool threads(1);
  EXPECT_EQ(testing::message_of(ErrorKind::kFailed,
                                [&] { predicted_kl(w, w, GuidedMoments(16, 9, {.guided_moment = true}), threads); }),
            "matrices of [8, 16] and [8, 16] do not fit moments of 16 inputs and 9 outputs");
}

}  // namespace
}  // namespace bitloom
