#include "transform/bias_correction.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "base/error.h"
#include "base/memory/dense_matrix.h"

namespace bitloom {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST(BiasCorrection, ByHand) {
  ThreadPool threads(2);
  const RowSourcePtr w = dense_matrix(2, 3, {1, 2, 3, 4, 5, 6}), q = dense_matrix(2, 3, {1, 1, 4, 4, 5, 5});
  // Row 0: 10 + (2 - 1) * 3 + (3 - 4) * 4; row 1: 20 + (6 - 5) * 4.
  EXPECT_THAT(corrected_bias(*w, *q, std::vector<double>{2, 3, 4}, std::vector<float>{10, 20}, threads),
              ElementsAre(9, 24));
}

// Over the data, the mean of Q x + b' is the mean of W x + b.
TEST(BiasCorrection, MeanOutputIsRestored) {
  ThreadPool threads(3);
  constexpr size_t kOut = 150, kIn = 20, kTokens = 50;
  std::vector<float> w(kOut * kIn), q, bias(kOut), x(kTokens * kIn);
  for (size_t i = 0; i < w.size(); ++i) w[i] = std::sin(static_cast<float>(i) * 1.7f);
  for (const float value : w) q.push_back(std::nearbyint(value * 2) / 2);
  for (size_t i = 0; i < bias.size(); ++i) bias[i] = static_cast<float>(i) / 100;
  for (size_t i = 0; i < x.size(); ++i) x[i] = 1.0f + std::cos(static_cast<float>(i) * 0.9f);
  std::vector<double> mean(kIn);
  for (size_t i = 0; i < x.size(); ++i) mean[i % kIn] += static_cast<double>(x[i]) / kTokens;
  const std::vector<float> corrected =
      corrected_bias(*dense_matrix(kOut, kIn, w), *dense_matrix(kOut, kIn, q), mean, bias, threads);
  const auto mean_output = [&](const std::vector<float>& matrix, const std::vector<float>& b, size_t row) {
    double sum = 0;
    for (size_t t = 0; t < kTokens; ++t) {
      for (size_t c = 0; c < kIn; ++c) {
        sum += static_cast<double>(matrix[row * kIn + c]) * static_cast<double>(x[t * kIn + c]);
      }
    }
    return sum / kTokens + static_cast<double>(b[row]);
  };
  double uncorrected = 0;
  for (size_t row = 0; row < kOut; ++row) {
    const double expected = mean_output(w, bias, row);
    EXPECT_NEAR(mean_output(q, corrected, row), expected, 4 * 0x1p-24);  // biases below 4, rounded once
    uncorrected = std::max(uncorrected, std::abs(mean_output(q, bias, row) - expected));
  }
  EXPECT_GT(uncorrected, 0.1);
}

TEST(BiasCorrection, RefusesWhatDoesNotFit) {
  ThreadPool threads(1);
  const RowSourcePtr w = dense_matrix(2, 2, {1, 2, 3, 4}), wide = dense_matrix(1, 4, {1, 2, 3, 4});
  const auto message = [&](const RowSource& q, std::vector<double> mean, std::vector<float> bias) -> std::string {
    try {
      corrected_bias(*w, q, mean, bias, threads);
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  };
  EXPECT_THAT(message(*wide, {0, 0}, {0, 0}), HasSubstr("W is [2, 2], Q [1, 4], 2 means of inputs, 2 biases"));
  EXPECT_THAT(message(*w, {0}, {0, 0}), HasSubstr("1 means of inputs"));
  EXPECT_THAT(message(*w, {0, 0}, {0}), HasSubstr("1 biases"));
  const RowSourcePtr q = dense_matrix(2, 2, {0, 0, 0, 0});
  EXPECT_THAT(message(*q, {0, INFINITY}, {0, 0}), HasSubstr("the bias of row 0 becomes inf"));
}

}  // namespace
}  // namespace bitloom
