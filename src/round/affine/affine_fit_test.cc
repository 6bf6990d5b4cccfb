#include "round/affine/affine_fit.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "base/rng.h"

namespace bitloom {
namespace {

AffineGroup sample(int64_t n, uint64_t seed, double tail = 0) {
  Rng rng(seed, 91);
  AffineGroup group;
  for (int64_t i = 0; i < n; ++i) {
    const double x = 0.05 * (rng.normal() + 0.4);
    group.w.push_back(static_cast<float>(i % 16 == 3 ? x * (1 + tail) : x));
    group.h.push_back(static_cast<float>(0.1 + rng.uniform() * rng.uniform() * 30));
  }
  return group;
}

TEST(AffineFit, RangeReachesFromTheLeastToTheGreatest) {
  const AffineGroup group{{-1, 0.25f, 0.5f}, {}};
  const AffineScale s = range_affine(group, 2);
  EXPECT_EQ(s.scale, 0.5f);
  EXPECT_EQ(s.zero, 2);
  EXPECT_EQ(affine_code(-1, s, 2), 0);
  EXPECT_EQ(affine_code(0.25f, s, 2), 2);  // a half, to even
  EXPECT_EQ(affine_code(9, s, 2), 3);
  EXPECT_DOUBLE_EQ(affine_error(group, s, 2), 0.0625);
}

TEST(AffineFit, OfAlikeWeightsOneLevelIsTheirs) {
  for (const float w : {0.3f, -0.7f, 0.0f}) {
    const AffineGroup group{std::vector<float>(5, w), {}};
    for (const AffineScale& s : {range_affine(group, 3), fit_affine(group, 3), calibrate_affine(group, 3)}) {
      EXPECT_NEAR(s.value(affine_code(w, s, 3)), w, 1e-3);
      EXPECT_TRUE(std::isfinite(s.zero));
    }
  }
  EXPECT_EQ(fit_affine({}, 4).scale, 0);
  const AffineGroup far{{1000, 1000.01f}, {}};
  EXPECT_NEAR(affine_error(far, fit_affine(far, 4), 4), 0, 1e-3);
  // Levels so fine that fp16 has no zero point for them: 2 (range / 2)^2 is what one level for both leaves.
  for (const float range : {0.001f, 0.003f, 0.006f}) {
    const AffineGroup high{{1, 1 + range}, {}};
    EXPECT_LE(affine_error(high, fit_affine(high, 8), 8), 2 * range * range) << range;
  }
}

/// The least E over a dense set of scales and zero points.
double dense_least(const AffineGroup& group, int bits) {
  const auto [low, high] = std::minmax_element(group.w.begin(), group.w.end());
  const double whole = (static_cast<double>(*high) - static_cast<double>(*low)) / ((1 << bits) - 1);
  double least = INFINITY;
  for (double share = 0.1; share <= 1.05; share += 0.01) {
    for (double first = 0; first <= 1; first += 0.02) {
      const double scale = whole * share;
      const double begin = *low + first * ((1 << bits) - 1) * (whole - scale);
      least = std::min(least, affine_error(group, stored_affine(scale, -begin / scale), bits));
    }
  }
  return least;
}

TEST(AffineFit, IsNeverWorseThanTheRangeAndCloseToTheBest) {
  for (const int bits : {1, 2, 3, 4}) {
    double fitted = 0, best = 0;
    for (uint64_t seed = 1; seed <= 20; ++seed) {
      const AffineGroup group = sample(seed % 2 == 0 ? 64 : 19, seed, seed % 3 == 0 ? 4 : 0);
      const double error = affine_error(group, fit_affine(group, bits), bits);
      EXPECT_LE(error, affine_error(group, range_affine(group, bits), bits) * (1 + 1e-5)) << bits << " " << seed;
      fitted += error, best += dense_least(group, bits);
    }
    EXPECT_LE(fitted, 1.06 * best) << bits << " " << fitted / best;
  }
}

// mu = 1, mean |w - mu| = 2: levels -1 and 3.
TEST(AffineFit, OneBitIsTheMeanAndTheMeanDeviation) {
  const AffineGroup group{{-2, 0, 2, 4}, {}};
  const AffineScale s = binary_affine(group);
  EXPECT_EQ(s.value(0), -1);
  EXPECT_EQ(s.value(1), 3);
  EXPECT_EQ(calibrate_affine(group, 1).value(1), 3);
}

TEST(AffineFit, CalibrationMovesTheRangeByATenthAtMost) {
  for (uint64_t seed = 1; seed <= 10; ++seed) {
    const AffineGroup group = sample(64, seed, 2);
    const AffineScale range = range_affine(group, 3), s = calibrate_affine(group, 3);
    EXPECT_LE(affine_error(group, s, 3), affine_error(group, range, 3) * (1 + 1e-5));
    EXPECT_LE(affine_error(group, fit_affine(group, 3), 3), affine_error(group, s, 3) * (1 + 1e-5));
    EXPECT_GE(s.scale, 0.899f * range.scale);
    EXPECT_LE(s.scale, 1.101f * range.scale);
  }
}

TEST(AffineFit, WeightsThatCountNothingDoNotMoveTheLevels) {
  AffineGroup group = sample(32, 5);
  group.w[7] = 3, group.h[7] = 0;
  AffineGroup without = group;
  without.w.erase(without.w.begin() + 7), without.h.erase(without.h.begin() + 7);
  EXPECT_LE(affine_error(group, fit_affine(group, 3), 3), 1.3 * affine_error(without, fit_affine(without, 3), 3));
}

TEST(AffineFit, SecondLevelCodesStandForTheRoundedScales) {
  std::vector<AffineGroup> groups;
  std::vector<AffineScale> scales;
  for (uint64_t seed = 1; seed <= 16; ++seed) {
    groups.push_back(sample(16, seed));
    scales.push_back(fit_affine(groups.back(), 3));
  }
  const auto error = [&](const std::vector<AffineScale>& of) {
    double sum = 0;
    for (size_t r = 0; r < groups.size(); ++r) sum += affine_error(groups[r], of[r], 3);
    return sum;
  };
  std::vector<AffineScale> three = scales, plain = scales, eight = scales;
  const AffineSecond second = round_second(3, groups, 3, true, three);
  round_second(3, groups, 3, false, plain);
  round_second(8, groups, 3, true, eight);
  for (const AffineScale& s : three) {
    EXPECT_LE(s.scale_code, 7);
    EXPECT_LE(s.zero_code, 7);
    EXPECT_EQ(s.scale, second.scale_low + second.scale_step * static_cast<float>(s.scale_code));
    EXPECT_EQ(s.zero, second.zero_low + second.zero_step * static_cast<float>(s.zero_code));
  }
  EXPECT_LT(error(three), error(plain));
  EXPECT_LT(error(eight), 1.02 * error(scales));
  EXPECT_LT(error(eight), error(three));
}

TEST(AffineFit, WholeZeroPointsStayWhatTheyAre) {
  std::vector<AffineGroup> groups;
  std::vector<AffineScale> scales;
  for (uint64_t seed = 1; seed <= 16; ++seed) {
    groups.push_back(sample(16, seed));
    scales.push_back(fit_affine(groups.back(), 3));
    scales.back().zero = static_cast<float>(seed % 6 + 1);
  }
  const std::vector<AffineScale> before = scales;
  const AffineSecond second = round_second(3, groups, 3, false, scales);
  EXPECT_EQ(second.zero_step, 1);
  for (size_t r = 0; r < scales.size(); ++r) EXPECT_EQ(scales[r].zero, before[r].zero) << r;
}

TEST(AffineFit, ABlockOfOneScaleKeepsIt) {
  const std::vector<AffineGroup> groups = {sample(16, 3)};
  std::vector<AffineScale> scales = {fit_affine(groups[0], 3)};
  const AffineScale before = scales[0];
  round_second(3, groups, 3, false, scales);
  EXPECT_EQ(scales[0].scale, before.scale);
  EXPECT_EQ(scales[0].zero, before.zero);
}

}  // namespace
}  // namespace bitloom
