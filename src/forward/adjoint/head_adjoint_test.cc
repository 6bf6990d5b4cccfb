#include "forward/adjoint/head_adjoint.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

namespace bitloom {
namespace {

// Frequencies of 40,000 draws: sqrt(p (1 - p) / n) is at most .0025, four of them .01.
TEST(SampleLabel, FollowsTheSoftmax) {
  const std::vector<float> logits = {std::log(0.5f), std::log(0.25f), -1e30f, std::log(0.2f), std::log(0.05f)};
  std::vector<double> counts(5);
  for (int64_t row = 0; row < 40000; ++row) counts[static_cast<size_t>(sample_label(logits, 7, row))] += 1.0 / 40000;
  EXPECT_NEAR(counts[0], 0.5, 0.01);
  EXPECT_NEAR(counts[1], 0.25, 0.01);
  EXPECT_EQ(counts[2], 0);
  EXPECT_NEAR(counts[3], 0.2, 0.01);
  EXPECT_NEAR(counts[4], 0.05, 0.01);
  EXPECT_EQ(sample_label(logits, 7, 123), sample_label(logits, 7, 123));
}

TEST(RowLoss, CrossEntropyAndItsGradient) {
  const std::vector<int32_t> labels = {2, -1};
  const RowLoss loss = cross_entropy(labels);
  std::vector<float> z = {1, 2, 3}, none = z;
  const double sum = std::exp(1.0) + std::exp(2.0) + std::exp(3.0);
  EXPECT_NEAR(loss(0, z), std::log(sum) - 3, 1e-6);
  EXPECT_NEAR(z[0], std::exp(1.0) / sum, 1e-6);
  EXPECT_NEAR(z[2], std::exp(3.0) / sum - 1, 1e-6);
  EXPECT_EQ(loss(1, none), 0);
  EXPECT_EQ(none, std::vector<float>(3));
}

TEST(RowLoss, NothingIsSampledBehindTheLastToken) {
  const RowLoss loss = sampled_cross_entropy(3, 10, 4);
  for (int64_t row = 0; row < 8; ++row) {
    std::vector<float> z = {1, 2, 3};
    const int32_t label = sample_label(z, 3, 10 + row);
    loss(row, z);
    EXPECT_EQ(z[static_cast<size_t>(label)] < 0, row % 4 != 3) << row;
  }
}

}  // namespace
}  // namespace bitloom
