#include "format/expected_error/density.h"

#include <gtest/gtest.h>

#include <cmath>

#include "base/error.h"

namespace bitloom {
namespace {

// 1 - betainc(nu / 2, 1/2, 0, nu / (nu + x^2), regularized) / 2 by mpmath 1.3 with 30 digits.
TEST(Density, StudentCdfAgreesWithMpmath) {
  EXPECT_NEAR(student_cdf(0.5, 8), 0.68473196222151183, 1e-14);
  EXPECT_NEAR(student_cdf(-2.5, 8), 0.018471018856812052, 1e-15);
  EXPECT_NEAR(student_cdf(3, 2.5), 0.96371195222548408, 1e-14);
  EXPECT_NEAR(student_cdf(0, 6), 0.5, 1e-15);
  // Of one degree it is Cauchy's: 1/2 + atan(x) / pi; of two 1/2 + x / (2 sqrt(2 + x^2)).
  EXPECT_NEAR(student_cdf(7, 1), 0.5 + std::atan(7.0) / M_PI, 1e-14);
  EXPECT_NEAR(student_cdf(-40, 2), 0.5 - 40 / (2 * std::sqrt(1602.0)), 1e-15);
}

// Every closed form is the integral of a density: between two places, Simpson's rule over differences of mass gives the
// moments that the closed forms give. With t fixed inside a step, its error is of the step's width squared.
TEST(Density, MomentsBelongToTheMass) {
  for (const Density& density : {gaussian_density(), uniform_density(), student_density(3.5), outlier_density()}) {
    const double low = -0.83 * std::min(density.limit, 12.0), high = 0.71 * std::min(density.limit, 12.0);
    constexpr int kSteps = 20000;
    Moments sum;
    for (int i = 0; i < kSteps; ++i) {
      const double a = low + (high - low) * i / kSteps, b = low + (high - low) * (i + 1) / kSteps, t = (a + b) / 2;
      const double mass = density.below(b).mass - density.below(a).mass;
      sum.mass += mass, sum.mean += mass * t, sum.square += mass * t * t;
    }
    const Moments a = density.below(low), b = density.below(high);
    EXPECT_NEAR(b.mass - a.mass, sum.mass, 1e-12) << density.name;
    EXPECT_NEAR(b.mean - a.mean, sum.mean, 1e-6) << density.name;
    EXPECT_NEAR(b.square - a.square, sum.square, 1e-6) << density.name;
  }
}

// Variances: 1, 1/3, 8/6, 0.99 + 0.01 * 100.
TEST(Density, VariancesAreThoseOfTheDistributions) {
  const auto all = [](const Density& density) { return density.below(density.limit); };
  EXPECT_NEAR(all(gaussian_density()).square, 1, 1e-12);
  EXPECT_NEAR(all(uniform_density()).square, 1.0 / 3, 1e-15);
  EXPECT_NEAR(all(student_density(8)).square, 8.0 / 6, 1e-7);  // 100^-6 and some is clipped
  EXPECT_NEAR(all(outlier_density()).square, 1.99, 1e-9);
  for (const Density& d : {gaussian_density(), uniform_density(), student_density(8), outlier_density()}) {
    EXPECT_NEAR(all(d).mass, 1, 1e-14);
    EXPECT_NEAR(all(d).mean, 0, 1e-12);
    EXPECT_EQ(d.below(-1.001 * d.limit).mass, 0);
  }
}

// t of 3 degrees has so heavy tails that the mass beyond 100 is seen: it lies at the limit, not beyond.
TEST(Density, TailsAreClippedToTheLimit) {
  const Density t = student_density(3);
  const double tail = student_cdf(-100, 3);
  EXPECT_NEAR(t.below(-100).mass, tail, 1e-15);
  EXPECT_NEAR(t.below(100).mass - t.below(99.999999999).mass, tail, 1e-12);
  EXPECT_LT(t.below(100).square, 3);  // the variance of the whole
}

TEST(Density, ValuesAreCountedExactly) {
  std::vector<float> values;  // 1000 places, each twice, more than the stride of sums
  for (int i = 999; i >= -1000; --i) values.push_back(static_cast<float>(i / 2));
  const Density density = values_density("v", values);
  EXPECT_EQ(density.limit, 500);
  for (const double x : {-501.0, -500.0, -3.5, 0.0, 17.25, 499.0, 600.0}) {
    Moments m;
    for (const float v : values)
      if (v <= x) m.mass += 1 / 2000.0, m.mean += v / 2000.0, m.square += double{v} * v / 2000.0;
    const Moments found = density.below(x);
    EXPECT_NEAR(found.mass, m.mass, 1e-12) << x;
    EXPECT_NEAR(found.mean, m.mean, 1e-10) << x;
    EXPECT_NEAR(found.square, m.square, 1e-7) << x;
  }
}

TEST(Density, SpellingsAreReadAndWrongFreedomIsRefused) {
  for (const char* text : {"gaussian", "uniform", "outliers", "student-t:8", "student-t:2.001", "student-t:1000"})
    EXPECT_EQ(find_density(text).value().name, text);
  EXPECT_FALSE(find_density("gauss"));
  for (const char* text : {"student-t:2", "student-t:", "student-t:x", "student-t:-3", "student-t:nan", "student-t:inf",
                           "student-t:2.0000000000001", "student-t:1001"})
    EXPECT_THROW(find_density(text), Error) << text;
}

}  // namespace
}  // namespace bitloom
