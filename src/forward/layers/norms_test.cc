#include "forward/layers/norms.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "base/rng.h"

namespace bitloom {
namespace {

std::vector<float> random_values(size_t count, uint64_t stream, double offset = 0) {
  Rng rng(7, stream);
  std::vector<float> x(count);
  for (float& v : x) v = static_cast<float>(rng.normal() + offset);
  return x;
}

// The definition, in fp64.
std::vector<double> reference(const NormWeights& norm, const float* x) {
  const size_t width = norm.weight.size();
  const double n = static_cast<double>(width);
  double mean = 0, power = 0;
  for (size_t i = 0; i < width; ++i) mean += x[i] / n;
  if (!subtracts_mean(norm.kind)) mean = 0;
  for (size_t i = 0; i < width; ++i) power += (x[i] - mean) * (x[i] - mean) / n;
  std::vector<double> y(width);
  for (size_t i = 0; i < width; ++i) {
    const double weight = norm.weight[i] + (adds_one(norm.kind) ? 1.0 : 0.0);
    y[i] = (x[i] - mean) / std::sqrt(power + norm.eps) * weight + (norm.bias.empty() ? 0.0 : norm.bias[i]);
  }
  return y;
}

class NormTest : public ::testing::TestWithParam<NormKind> {};

TEST_P(NormTest, EqualsItsDefinition) {
  ThreadPool threads(2);
  for (const size_t width : {1u, 7u, 8u, 33u, 64u}) {
    const size_t rows = 37;
    NormWeights norm{GetParam(), 1e-5f, random_values(width, 1), {}};
    if (subtracts_mean(norm.kind)) norm.bias = random_values(width, 2);
    const std::vector<float> x = random_values(width * rows, 3, 3.0);
    std::vector<float> y(x.size());
    norm_rows(norm, x.data(), static_cast<int64_t>(rows), y.data(), threads);
    for (size_t row = 0; row < rows; ++row) {
      const std::vector<double> expected = reference(norm, x.data() + row * width);
      for (size_t i = 0; i < width; ++i) {
        // |y| <= sqrt(width) |weight| + |bias| < 8 * 5 + 4 (no value is further than sqrt(width) deviations out), with
        // five roundings; x - mean adds half an ulp of 3 before the division by the deviation (about 1).
        EXPECT_NEAR(y[row * width + i], expected[i], 0x1p-24 * (5 * 44 + 4 * 5)) << width << " " << i;
      }
    }
  }
}

TEST_P(NormTest, InPlaceIsTheSame) {
  ThreadPool threads(1);
  const NormWeights norm{GetParam(), 1e-6f, random_values(20, 1), {}};
  const std::vector<float> x = random_values(60, 2);
  std::vector<float> apart(60), in_place = x;
  norm_rows(norm, x.data(), 3, apart.data(), threads);
  norm_rows(norm, in_place.data(), 3, in_place.data(), threads);
  EXPECT_EQ(apart, in_place);
}

TEST_P(NormTest, NanStaysInItsRow) {
  ThreadPool threads(1);
  const NormWeights norm{GetParam(), 1e-6f, random_values(8, 1), {}};
  std::vector<float> x = random_values(16, 2);
  x[3] = std::nanf("");
  norm_rows(norm, x.data(), 2, x.data(), threads);
  EXPECT_TRUE(std::isnan(x[0]));
  EXPECT_TRUE(std::isfinite(x[8]));
}

INSTANTIATE_TEST_SUITE_P(All, NormTest,
                         ::testing::Values(NormKind::kRms, NormKind::kRmsPlusOne, NormKind::kLayer,
                                           NormKind::kLayerPlusOne));

// Epsilon stands inside the root: for x = 0 the result is finite and 0.
TEST(Norm, ZeroRow) {
  const NormWeights norm{NormKind::kRms, 1e-5f, {1.0f, 2.0f}, {}};
  float x[2] = {0.0f, 0.0f};
  norm_row(norm, x, x);
  EXPECT_EQ(x[0], 0.0f);
  EXPECT_EQ(x[1], 0.0f);
}

}  // namespace
}  // namespace bitloom
