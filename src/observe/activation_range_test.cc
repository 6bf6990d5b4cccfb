#include "observe/activation_range.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "base/error.h"
#include "base/rng.h"
#include "observe/input_statistics.h"

namespace bitloom {
namespace {

Histogram histogram_of(const std::vector<float>& values) {
  ThreadPool threads(2);
  Histogram histogram;
  histogram.add(values.data(), static_cast<int64_t>(values.size()), 1, 1, threads);
  return histogram;
}

ActivationRange range_of(const char* format, const Histogram& values) {
  const auto found = find_range(parse_activation_format(format), values);
  EXPECT_TRUE(found) << format;
  EXPECT_EQ(found->range.kind, ActivationRange::Kind::kFixed);
  return found->range;
}

std::vector<float> normal_values(int64_t count) {
  std::vector<float> values(static_cast<size_t>(count));
  Rng rng(1, 0);
  for (float& value : values) value = static_cast<float>(rng.normal());
  return values;
}

TEST(ActivationRangeRules, Extremes) {
  const Histogram values = histogram_of({-1.5f, 0.25f, 3});
  EXPECT_EQ(range_of("int8-tensor-absmax", values).high, 3);
  EXPECT_EQ(range_of("int8-tensor-absmax", values).low, -3);
  EXPECT_EQ(range_of("nvfp4-absmax", values).high, 3);
  const ActivationRange both = range_of("int8-asym-tensor-absmax", values);
  EXPECT_EQ(both.low, -1.5f);
  EXPECT_EQ(both.high, 3);
  // Of one sign only: 0 is among them.
  EXPECT_EQ(range_of("int8-asym-tensor-absmax", histogram_of({2, 3})).low, 0);
  EXPECT_EQ(range_of("int8-asym-tensor-absmax", histogram_of({-2, -3})).high, 0);
}

// 1 .. 1000, some of them negative; a bin is 0.25 wide.
TEST(ActivationRangeRules, Percentiles) {
  std::vector<float> values;
  for (int i = 1; i <= 1000; ++i) values.push_back(static_cast<float>(i % 5 == 0 ? -i : i) / 2);
  const Histogram histogram = histogram_of(values);
  EXPECT_NEAR(range_of("int8-tensor-p99", histogram).high, 495, 0.25);
  EXPECT_EQ(range_of("int8-tensor-p100", histogram).high, 500);
  const ActivationRange both = range_of("int8-asym-tensor-p99", histogram);
  EXPECT_NEAR(both.low, -475, 2.5);  // ten values lie below, each fifth of a step of 0.5
  EXPECT_NEAR(both.high, 494, 1.5);
}

// Of a normal distribution the clip with the least squared error is known (floating-point page, 7.4); candidates are
// some 0.05 apart, and near its least value the error is flat.
TEST(ActivationRangeRules, LeastSquares) {
  const Histogram values = histogram_of(normal_values(200000));
  EXPECT_NEAR(range_of("int8-tensor-mse", values).high, 3.92, 0.25);
  EXPECT_NEAR(range_of("int6-narrow-tensor-mse", values).high, 3.23, 0.15);
  EXPECT_NEAR(range_of("e2m1-tensor-mse", values).high, 2.92, 0.15);
  // As large with zero points, of 16 levels.
  const ActivationRange both = range_of("int4-asym-tensor-mse", values);
  EXPECT_NEAR(both.high, 2.5, 0.25);
  EXPECT_NEAR(both.low, -2.5, 0.25);
}

// What the rule minimises, by brute force over the values themselves.
TEST(ActivationRangeRules, LeastSquaresOfValues) {
  std::vector<float> values = normal_values(20000);
  for (size_t i = 0; i < 20; ++i) values[i] = i % 2 == 0 ? 40.0f : -40.0f;
  const ActivationFormat rule = parse_activation_format("int4-tensor-mse");
  const auto error_of = [&](float high) {
    const Grid grid = grid_of(rule.format);
    const float step = scale_of_range(rule, -high, high).step;
    double error = 0;
    for (const float x : values) {
      const double d = x - static_cast<double>(step) * grid.decode[encode_nearest(grid, x / step, Ties::kEven)];
      error += d * d;
    }
    return error;
  };
  double least = std::numeric_limits<double>::infinity();
  for (int i = 1; i <= 100; ++i) least = std::min(least, error_of(0.4f * static_cast<float>(i)));
  EXPECT_LE(error_of(find_range(rule, histogram_of(values))->range.high), 1.01 * least);
}

// A few outliers are given up; without them nearly nothing is.
TEST(ActivationRangeRules, LeastDivergence) {
  std::vector<float> values = normal_values(100000);
  const float calm = range_of("int8-tensor-kl", histogram_of(values)).high;
  EXPECT_GT(calm, 2.5f);
  values[7] = 30, values[8] = -28;
  const ActivationRange range = range_of("int8-tensor-kl", histogram_of(values));
  EXPECT_LT(range.high, 8);
  EXPECT_GT(range.high, 2.5f);
  const ActivationRange both = range_of("int8-asym-tensor-kl", histogram_of(values));
  EXPECT_LT(both.high, 8);
  EXPECT_GT(both.low, -8);
  // No more values than levels: nothing is lost by taking all.
  EXPECT_EQ(range_of("int2-asym-tensor-kl", histogram_of({-1, 0, 1, 2})).high, 2);
}

// Nothing is lost by the levels 0, 1, 2, 3, the greatest of which lies on the edge of its bin.
TEST(ActivationRangeRules, TheWholeRangeHoldsItsEnds) {
  std::vector<float> values;
  for (int i = 0; i < 1000; ++i) values.insert(values.end(), {0, 0.01f, 1, 2, 3});
  EXPECT_EQ(range_of("int2-asym-tensor-kl", histogram_of(values)).high, 3);
}

// The bins that statistics have tell ranges of the body apart.
TEST(ActivationRangeRules, LeastDivergenceFarBelowAnOutlier) {
  std::vector<float> values = normal_values(400000);
  values[7] = 1000;
  ThreadPool threads(2);
  InputStatistics statistics(1, {.range = true, .histogram = true});
  statistics.add(nullptr, values.data(), static_cast<int64_t>(values.size()), threads);
  EXPECT_LT(range_of("int8-tensor-kl", *statistics.histogram).high, 20);
}

TEST(ActivationRangeRules, NothingToCover) {
  for (const char* format : {"int8-tensor-absmax", "int8-tensor-mse", "int8-asym-tensor-kl", "nvfp4-p99"}) {
    EXPECT_FALSE(find_range(parse_activation_format(format), Histogram())) << format;
    EXPECT_FALSE(find_range(parse_activation_format(format), histogram_of({0, -0.0f}))) << format;
  }
  EXPECT_FALSE(find_range(parse_activation_format("int8-tensor-absmax"), histogram_of({1e-44f})));
  EXPECT_FALSE(find_range(parse_activation_format("int8q7-tensor-absmax"), histogram_of({3.4e38f})));
  EXPECT_THROW(find_range(parse_activation_format("int8-tensor"), histogram_of({1})), Error);
}

}  // namespace
}  // namespace bitloom
