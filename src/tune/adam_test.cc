#include "tune/adam.h"

#include <gtest/gtest.h>

#include <cmath>

namespace bitloom {
namespace {

// Two steps by hand: m and v after bias correction are means of g and g^2 weighted by 0.9 and 0.999.
TEST(Adam, TakesTheFormulasSteps) {
  AdamState state = begin_adam({{"a", {1.0f, -2.0f}}});
  adam_step({{"a", {0.5, 0.0}}}, {{"a", 2.0}}, 0.01, state);
  // The first step is the gradient's sign, whatever its size: rate * size.
  EXPECT_NEAR(state.values["a"][0], 1.0 - 0.02, 1e-6);
  EXPECT_EQ(state.values["a"][1], -2.0f);
  adam_step({{"a", {-1.0, 0.0}}}, {{"a", 2.0}}, 0.01, state);
  const double m = (0.09 * 1.0 + 0.1 * -2.0) / (1 - 0.81), v = (0.000999 * 1.0 + 0.001 * 4.0) / (1 - 0.998001);
  EXPECT_NEAR(state.values["a"][0], 0.98 - 0.02 * m / std::sqrt(v), 1e-6);
  EXPECT_EQ(state.steps, 2);
}

// Vectors that differ by a factor take steps that differ by it.
TEST(Adam, StepsAreRelativeToAVectorsSize) {
  AdamState state = begin_adam({{"large", {300.0f}}, {"small", {3.0f}}});
  for (const double g : {0.3, -0.1, 0.7}) {
    adam_step({{"large", {g}}, {"small", {100 * g}}}, {{"large", 100.0}, {"small", 1.0}}, 0.05, state);
  }
  EXPECT_NEAR(state.values["large"][0], 100 * state.values["small"][0], 1e-3);
  EXPECT_LT(state.values["small"][0], 3.0f);
}

TEST(Adam, GradientsOfOtherVectorsMayBeAnything) {
  const AdamState state = begin_adam({{"a", {1.0f, -2.0f}}});
  EXPECT_TRUE(are_finite({{"a", {0.5, 0.0}}, {"other", {NAN}}}, state));
  EXPECT_FALSE(are_finite({{"a", {0.5, INFINITY}}, {"other", {0.0}}}, state));
  EXPECT_FALSE(are_finite({{"a", {NAN, 0.5}}}, state));
}

TEST(Adam, RateFallsByHalfACosine) {
  EXPECT_DOUBLE_EQ(cosine_rate(0.2, 0, 10), 0.2);
  EXPECT_NEAR(cosine_rate(0.2, 5, 10), 0.1, 1e-12);
  EXPECT_LT(cosine_rate(0.2, 9, 10), 0.006);
  EXPECT_GT(cosine_rate(0.2, 9, 10), 0);
}

// AdamW: what decays is the value, whatever the gradient is.
TEST(Adam, DecaysApartFromTheGradient) {
  AdamState plain = begin_adam({{"a", {1.0f, -2.0f}}}), decayed = plain;
  adam_step({{"a", {0.5, 0.0}}}, {{"a", 1.0}}, 0.01, plain);
  adam_step({{"a", {0.5, 0.0}}}, {{"a", 1.0}}, 0.01, decayed, 0.1);
  EXPECT_NEAR(decayed.values["a"][0], plain.values["a"][0] - 0.001, 1e-7);
  EXPECT_NEAR(decayed.values["a"][1], -2.0 + 0.002, 1e-7);
  EXPECT_EQ(decayed.first, plain.first);
}

TEST(Adam, RateRisesBeforeItFalls) {
  EXPECT_DOUBLE_EQ(cosine_rate(0.2, 0, 14, 4), 0.05);
  EXPECT_DOUBLE_EQ(cosine_rate(0.2, 3, 14, 4), 0.2);
  EXPECT_DOUBLE_EQ(cosine_rate(0.2, 4, 14, 4), 0.2);
  EXPECT_DOUBLE_EQ(cosine_rate(0.2, 9, 14, 4), cosine_rate(0.2, 5, 10));
}

}  // namespace
}  // namespace bitloom
