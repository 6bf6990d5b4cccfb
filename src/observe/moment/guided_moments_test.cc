#include "observe/moment/guided_moments.h"

#include <gtest/gtest.h>

namespace bitloom {
namespace {

// By hand: two tokens, n = 2, m = 3.
TEST(GuidedMoments, WeighTokensByTheirGradients) {
  const std::vector<float> x = {1, 2, -1, 4}, g = {1, 2, 2, 0, 3, 0};
  ThreadPool threads(2);
  GuidedMoments moments(2, 3, {.guided_moment = true, .output_moment = true});
  moments.add(x.data(), g.data(), 2, threads);
  // s = 9 / 3 and 9 / 3; sums of s x x^T over two tokens.
  const double h_in[2][2] = {{3 * 1 + 3 * 1, 3 * 2 - 3 * 4}, {3 * 2 - 3 * 4, 3 * 4 + 3 * 16}};
  for (int64_t i = 0; i < 2; ++i) {
    for (int64_t j = 0; j < 2; ++j) EXPECT_NEAR(2 * moments.in().mean(i, j), h_in[i][j], 1e-4);
  }
  const double h_out[3][3] = {{1, 2, 2}, {2, 4 + 9, 4}, {2, 4, 4}};
  double trace = 0;
  for (int64_t i = 0; i < 3; ++i) {
    for (int64_t j = 0; j < 3; ++j) EXPECT_EQ(2 * moments.out().mean(i, j), h_out[i][j]);
    trace += 2 * moments.out().mean(i, i);
  }
  EXPECT_EQ(trace, 3 * (3 + 3));  // m sum of s
}

TEST(GuidedMoments, WithoutNeedThereIsNoOutputMoment) {
  EXPECT_FALSE(GuidedMoments(2, 3, {.guided_moment = true}).gradients.has_value());
}

// A token without a loss has no weight, and counts.
TEST(GuidedMoments, TokensWithoutGradientAddNothing) {
  ThreadPool threads(1);
  GuidedMoments moments(2, 1, {.guided_moment = true, .output_moment = true});
  const std::vector<float> x = {3, 5, 1, 1}, g = {0, 2};
  moments.add(x.data(), g.data(), 2, threads);
  EXPECT_EQ(moments.in().tokens(), 2);
  EXPECT_EQ(moments.in().mean(0, 1), 4.0 / 2);
  EXPECT_EQ(moments.out().mean(0, 0), 4.0 / 2);
}

}  // namespace
}  // namespace bitloom
