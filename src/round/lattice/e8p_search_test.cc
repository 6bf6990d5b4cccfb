#include "round/lattice/e8p_search.h"

#include <gtest/gtest.h>

#include <cmath>
#include "base/rng.h"

namespace bitloom {
namespace {

double error_of(const float* x, uint16_t code) {
  float point[kE8pGroup];
  decode_e8p(e8p_table(), code, point);
  double error = 0;
  for (int64_t i = 0; i < kE8pGroup; ++i) error += std::pow(double{x[i]} - 0.25 * double{point[i]}, 2);
  return error;
}

// 512 candidates in fp32 against all points in fp64: another point only where both are equally near, to the rounding of
// sums of some 50.
TEST(E8pSearch, FindsTheNearestOfAllPoints) {
  const E8pSearch search;
  Rng rng(4, 4);
  for (const double size : {0.3, 1.0, 2.5}) {
    for (int i = 0; i < 60; ++i) {
      float x[kE8pGroup];
      for (float& value : x) value = static_cast<float>(size * rng.normal());
      EXPECT_NEAR(error_of(x, search.find(x)), error_of(x, nearest_e8p_reference(x)), 1e-5);
    }
  }
}

TEST(E8pSearch, PointsAreTheirOwnNearest) {
  const E8pSearch search;
  for (uint32_t code = 0; code < 0x10000; code += 7) {
    float point[kE8pGroup];
    decode_e8p(e8p_table(), static_cast<uint16_t>(code), point);
    for (float& value : point) value *= 0.25f;
    ASSERT_EQ(search.find(point), code);
  }
}

/// Of a normal source of variance 1, at a size.
double error_at(double units) {
  const E8pSearch search;
  Rng rng(6, 6);
  constexpr int kPoints = 20000;
  double error = 0;
  for (int i = 0; i < kPoints; ++i) {
    float x[kE8pGroup];
    for (float& value : x) value = static_cast<float>(units * rng.normal());
    error += error_of(x, search.find(x));
  }
  return error / (kPoints * double{kE8pGroup} * units * units);
}

// The size that rounding takes is within half a percent of the best. Its error is what its header says, to three
// standard errors of 160000 coordinates; the best scalar of 2 bits has 0.1175 (Max, 1960).
TEST(E8pSearch, UnitsAreTheBest) {
  const double chosen = error_at(kE8pUnits);
  for (const double other : {0.9, 0.97, 1.09, 1.16}) EXPECT_LT(chosen, 1.005 * error_at(other)) << other;
  EXPECT_NEAR(chosen, 0.0913, 0.001);
}

}  // namespace
}  // namespace bitloom
