#include "format/expected_error/expected_error.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "base/rng.h"
#include "format/format.h"

namespace bitloom {
namespace {

Grid grid(const std::string& format) { return grid_of(find_format(format).value()); }

struct Row {
  const char *density, *format;
  double clip, mse, sqnr, dot_sqnr;  // 0: the page does not say
};

class PageTable : public ::testing::TestWithParam<Row> {};

// The floating-point page, 7.4: figures of 4 digits, so that half a digit is 5e-4 or less of an MSE.
TEST_P(PageTable, ErrorsAgree) {
  const Row& row = GetParam();
  const ExpectedError best = best_clip(grid(row.format), find_density(row.density).value());
  if (row.mse > 0) {
    EXPECT_NEAR(best.mse, row.mse, 1e-3 * row.mse);
  }
  EXPECT_NEAR(best.sqnr(), row.sqnr, 0.0051);  // the rounding of the page
  if (row.dot_sqnr > 0) {
    EXPECT_NEAR(best.dot_sqnr(), row.dot_sqnr, 0.0051);
  }
  if (row.clip > 0) {
    EXPECT_NEAR(best.clip, row.clip, 2e-3 * row.clip);
  }
  // At the best clip E[x' R] = E[(x + R) R] = 0. It is found to about 1e-5, where the error is flat.
  EXPECT_NEAR(best.x_error, -best.mse, 2e-3 * best.mse);
}

INSTANTIATE_TEST_SUITE_P(
    Rows, PageTable,
    ::testing::Values(
        Row{"uniform", "int8", 0.9960, 5.126e-6, 48.13, 45.12}, Row{"uniform", "e2m5", 0.9940, 1.186e-5, 44.49, 41.48},
        Row{"uniform", "e3m4", 1.915, 4.543e-5, 38.66, 35.65}, Row{"uniform", "e4m3", 0, 1.775e-4, 32.74, 29.73},
        Row{"uniform", "e5m2", 0, 6.784e-4, 26.91, 23.91}, Row{"gaussian", "int8", 3.907, 8.771e-5, 40.57, 37.56},
        Row{"gaussian", "e2m5", 4.352, 5.412e-5, 42.67, 39.66}, Row{"gaussian", "e3m4", 5.106, 1.752e-4, 37.56, 34.55},
        Row{"gaussian", "e4m3", 0, 6.988e-4, 31.56, 28.55}, Row{"gaussian", "e5m2", 0, 2.766e-3, 25.58, 22.58},
        Row{"student-t:8", "int8", 8.288, 4.825e-4, 34.41, 31.40},
        Row{"student-t:8", "e2m5", 10.15, 1.915e-4, 38.43, 35.42},
        Row{"student-t:8", "e3m4", 21.37, 2.362e-4, 37.52, 34.51},
        Row{"student-t:8", "e4m3", 0, 9.359e-4, 31.54, 28.53}, Row{"student-t:8", "e5m2", 0, 3.706e-3, 25.56, 22.56},
        Row{"outliers", "int8", 28.0, 4.866e-3, 26.12, 0}, Row{"outliers", "e2m5", 31.7, 1.564e-3, 31.05, 0},
        Row{"outliers", "e3m4", 43.4, 3.598e-4, 37.43, 0}, Row{"outliers", "e4m3", 0, 1.394e-3, 31.55, 0},
        Row{"outliers", "e5m2", 0, 5.517e-3, 25.57, 0}, Row{"gaussian", "e3m2", 4.54, 0, 25.58, 0},
        Row{"gaussian", "e2m3", 3.75, 0, 30.81, 0}, Row{"gaussian", "int6", 3.23, 0, 29.82, 0},
        Row{"gaussian", "e2m1", 2.92, 0, 18.97, 0}, Row{"gaussian", "e1m2", 2.47, 0, 18.90, 0},
        Row{"gaussian", "int4", 2.37, 0, 19.26, 0}, Row{"gaussian", "e3m0", 4.19, 0, 14.23, 0},
        Row{"gaussian", "e2m0", 0, 0, 13.23, 0}, Row{"gaussian", "e1m1", 0, 0, 13.29, 0},
        Row{"gaussian", "int3", 0, 0, 13.91, 0}, Row{"student-t:8", "e3m2", 0, 0, 25.54, 0},
        Row{"student-t:8", "e2m3", 0, 0, 28.52, 0}, Row{"student-t:8", "int6", 0, 0, 25.56, 0},
        Row{"student-t:8", "e2m1", 0, 0, 17.76, 0}, Row{"student-t:8", "int4", 0, 0, 16.75, 0},
        Row{"student-t:8", "e3m0", 0, 0, 14.17, 0}, Row{"uniform", "e2m1", 0, 0, 20.92, 0},
        Row{"uniform", "int4", 0, 0, 23.52, 0}),
    [](const auto& test) {
      std::string name = std::string(test.param.density) + "_" + test.param.format;
      for (char& c : name)
        if (c == '-' || c == ':') c = '_';
      return name;
    });

/// Within five standard errors, which are exceeded once in two million times.
void expect_mean(const std::vector<double>& samples, double expected) {
  double sum = 0, squares = 0;
  for (const double v : samples) sum += v, squares += v * v;
  const auto n = static_cast<double>(samples.size());
  EXPECT_NEAR(sum / n, expected, 5 * std::sqrt((squares / n - sum / n * sum / n) / n));
}

// The distributions by their definitions, drawn and rounded as a model's values are: other code on both sides.
TEST(ExpectedError, AgreesWithRoundingOfDrawnNumbers) {
  constexpr int kCount = 1 << 17;
  const auto draw = [](const std::string& density, Rng& rng) {
    if (density == "uniform") return 2 * rng.uniform_double() - 1;
    if (density == "gaussian") return rng.normal();
    if (density == "outliers") return rng.normal() * (rng.uniform_double() < 0.01 ? 10 : 1);
    double square = 0;
    for (int i = 0; i < 8; ++i) square += std::pow(rng.normal(), 2);
    return rng.normal() / std::sqrt(square / 8);
  };
  uint64_t stream = 0;
  for (const char* density : {"uniform", "gaussian", "student-t:8", "outliers"}) {
    for (const char* format : {"int8", "e4m3", "e2m1", "e3m0", "nf4"}) {
      const Format f = find_format(format).value();
      for (const double clip : {0.7, 3.0, 20.0}) {  // too small, about right, too large
        SCOPED_TRACE(::testing::Message() << density << " " << format << " " << clip);
        Rng rng(7, stream++);
        const ExpectedError expected = expected_error(grid_of(f), find_density(density).value(), clip);
        std::vector<float> scaled(kCount), rounded(kCount);
        const double scale = clip / grid_of(f).levels.back();
        for (float& y : scaled) y = static_cast<float>(draw(density, rng) / scale);
        make_encoder(f, Ties::kEven)->snap(scaled.data(), kCount, rounded.data());
        std::vector<double> squares(kCount), products(kCount);
        for (int i = 0; i < kCount; ++i) {
          const double x = scaled[i] * scale, error = rounded[i] * scale - x;
          squares[i] = error * error, products[i] = x * error;
        }
        expect_mean(squares, expected.mse);
        expect_mean(products, expected.x_error);
      }
    }
  }
}

// {1, 2, 3, 4} to the levels {-1, 0, 1} of int2-narrow with clip 3: 1 -> 0, 2 -> 3, 3 -> 3, 4 -> 3.
//   E[R^2] = (1 + 1 + 0 + 1) / 4,  E[x R] = (-1 + 2 + 0 - 4) / 4,  E[x^2] = 30 / 4.
TEST(ExpectedError, OfFourValuesIsDoneByHand) {
  const ExpectedError e = expected_error(grid("int2-narrow"), values_density("four", {4, 2, 3, 1}), 3);
  EXPECT_NEAR(e.mse, 0.75, 1e-15);
  EXPECT_NEAR(e.x_error, -0.75, 1e-15);
  EXPECT_NEAR(e.power, 7.5, 1e-15);
  EXPECT_NEAR(e.sqnr(), 10, 1e-12);
  // 2 * 0.75 * 7.5 + 0.75^2 + 2 * 0.75^2 - 4 * 0.75^2 = 10.6875 of 56.25.
  EXPECT_NEAR(e.dot_sqnr(), 10 * std::log10(56.25 / 10.6875), 1e-12);
}

// int2-narrow's best clip for {1, 2, 3, 4} is the mean of what goes to the top level: 3 for {2, 3, 4}, of error 0.75.
TEST(ExpectedError, BestClipOfFourValuesIsDoneByHand) {
  const ExpectedError best = best_clip(grid("int2-narrow"), values_density("four", {4, 2, 3, 1}));
  EXPECT_NEAR(best.mse, 0.75, 1e-9);
  EXPECT_NEAR(best.clip, 3, 1e-4);
}

// 6.1 of the page: E1My is the integer of as many bits without its most negative code, in other units.
TEST(ExpectedError, OneExponentBitIsAnInteger) {
  for (const double clip : {0.5, 2.5, 4.0}) {
    const ExpectedError a = expected_error(grid("e1m2"), gaussian_density(), clip);
    const ExpectedError b = expected_error(grid("int4-narrow"), gaussian_density(), clip);
    EXPECT_NEAR(a.mse, b.mse, 1e-14);
  }
}

// Numbers that are levels already cost nothing but what sums of moments leave.
TEST(ExpectedError, LevelsThemselvesAreExact) {
  const Grid e2m1 = grid("e2m1");
  EXPECT_GT(expected_error(e2m1, values_density("levels", e2m1.levels), 6).sqnr(), 140);
}

}  // namespace
}  // namespace bitloom
