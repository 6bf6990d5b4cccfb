#include "report/plot/scale.h"

#include <gmock/gmock.h>

#include <cmath>
#include <limits>

namespace bitloom {
namespace {

using ::testing::ElementsAre;

std::vector<std::string> labels(const Scale& scale) {
  std::vector<std::string> out;
  for (const Tick& tick : scale.ticks) out.push_back(tick.label);
  return out;
}

TEST(NiceScale, LinearStepsAreOneTwoFive) {
  EXPECT_THAT(labels(nice_scale(0, 1, false, 6)), ElementsAre("0", "0.2", "0.4", "0.6", "0.8", "1.0"));
  EXPECT_THAT(labels(nice_scale(2.5, 8.03, false, 10)), ElementsAre("2", "3", "4", "5", "6", "7", "8", "9"));
  EXPECT_THAT(labels(nice_scale(-0.03, 0.11, false, 5)), ElementsAre("-0.05", "0", "0.05", "0.10", "0.15"));
  EXPECT_THAT(labels(nice_scale(0, 0.3, false, 4)), ElementsAre("0", "0.1", "0.2", "0.3"));
  EXPECT_THAT(labels(nice_scale(0, 4.2e7, false, 4)), ElementsAre("0", "2×10⁷", "4×10⁷", "6×10⁷"));
}

TEST(NiceScale, LogarithmicOnesThenThreesThenDecades) {
  EXPECT_THAT(labels(nice_scale(0.03, 0.9, true, 6)), ElementsAre("0.02", "0.05", "0.1", "0.2", "0.5", "1"));
  EXPECT_THAT(labels(nice_scale(0.003, 0.9, true, 7)), ElementsAre("0.003", "0.01", "0.03", "0.1", "0.3", "1"));
  EXPECT_THAT(labels(nice_scale(2e-6, 3, true, 8)),
              ElementsAre("10⁻⁶", "10⁻⁵", "0.0001", "0.001", "0.01", "0.1", "1", "10"));
  EXPECT_THAT(labels(nice_scale(1e-9, 3, true, 6)), ElementsAre("10⁻⁹", "10⁻⁶", "0.001", "1", "1000"));
  EXPECT_THAT(labels(nice_scale(0.021, 0.024, true, 6)), ElementsAre("0.021", "0.022", "0.023", "0.024"));
}

TEST(NiceScale, HoldsWhatItWasAskedTo) {
  for (const bool logarithmic : {false, true}) {
    for (double low = 1e-5; low < 1e4; low *= 3.7) {
      for (double high = low * 1.001; high < 1e6; high *= 2.9) {
        for (const int most : {4, 7}) {
          const Scale scale = nice_scale(low, high, logarithmic, most);
          EXPECT_LE(scale.low, low * (1 + 1e-6));
          EXPECT_GE(scale.high, high * (1 - 1e-6));
          EXPECT_LE(scale.ticks.size(), static_cast<size_t>(most)) << low << " to " << high;
          EXPECT_GE(scale.ticks.size(), 2u);
        }
      }
    }
  }
}

TEST(NiceScale, SomethingToDrawOnForNoRangeAtAll) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  for (const bool logarithmic : {false, true}) {
    for (const double value : {nan, 0.0, 3.0, -2.0}) {
      const Scale scale = nice_scale(value, value, logarithmic, 5);
      EXPECT_LT(scale.low, scale.high);
    }
  }
}

TEST(Scale, MapsEndsAndMiddle) {
  Scale scale = nice_scale(0, 10, false, 6);
  scale.from = 100, scale.to = 20;
  EXPECT_DOUBLE_EQ(scale.at(0), 100);
  EXPECT_DOUBLE_EQ(scale.at(5), 60);
  EXPECT_DOUBLE_EQ(scale.at(99), 20);  // clamped
  scale = nice_scale(0.01, 100, true, 6);
  scale.from = 0, scale.to = 8;
  EXPECT_NEAR(scale.at(1), 4, 1e-12);
  EXPECT_NEAR(scale.at(10), 6, 1e-12);
  EXPECT_FALSE(scale.shows(0));
  EXPECT_FALSE(scale.shows(std::numeric_limits<double>::infinity()));
}

}  // namespace
}  // namespace bitloom
