#include "round/scale/abs_power.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

namespace bitloom {
namespace {

TEST(AbsPower, FollowsPow) {
  for (const double p : {0.5, 1.0, 2.0, 2.4, 3.5, 8.0}) {
    for (double x = 1e-12; x < 100; x *= 1.0137) {
      const double expected = std::pow(x, p);
      if (expected < 0x1p-119 || expected > 0x1p119) continue;
      for (const double sign : {1.0, -1.0}) {
        float y = static_cast<float>(sign * x);
        const double exact = std::pow(std::abs(static_cast<double>(y)), p);
        abs_power(&y, 1, p);
        // See the header: log2's rounding error of 2^-24 * 120, and the two series.
        EXPECT_NEAR(y, exact, 1e-5 * exact) << x << " " << p;
      }
    }
  }
}

TEST(AbsPower, EndsOfTheRange) {
  std::vector<float> x = {0.0f, -0.0f, 1e-45f, 1e-39f, 3e38f, -3e38f, 1.0f, -1.0f, 2e-38f};
  abs_power(x.data(), static_cast<int64_t>(x.size()), 2.4);
  for (size_t i = 0; i < 4; ++i) EXPECT_EQ(x[i], 0x1p-120f) << i;
  EXPECT_EQ(x[4], 0x1p120f);
  EXPECT_EQ(x[5], 0x1p120f);
  EXPECT_EQ(x[6], 1.0f);
  EXPECT_EQ(x[7], 1.0f);
  EXPECT_EQ(x[8], 0x1p-120f);
}

TEST(AbsPower, SquaresExactly) {
  std::vector<float> x = {0.0f, -3.0f, 0.1f, 1e-30f};
  abs_power(x.data(), 4, 2);
  EXPECT_EQ(x, (std::vector<float>{0, 9, 0.1f * 0.1f, 0}));
}

TEST(AbsPower, NeverDecreases) {
  float last = 0;
  for (float x = 1e-6f; x < 2; x *= 1.001f) {
    float y = x;
    abs_power(&y, 1, 2.4);
    EXPECT_GT(y, last) << x;
    last = y;
  }
}

}  // namespace
}  // namespace bitloom
