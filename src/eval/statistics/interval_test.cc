#include "eval/statistics/interval.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "base/rng.h"

namespace bitloom {
namespace {

// Published table of the 0.975 quantile of Student's t, five to six digits.
TEST(Interval, StudentQuantilesAreTheTables) {
  EXPECT_NEAR(student_t95(1), 12.7062, 5e-5);
  EXPECT_NEAR(student_t95(2), 4.30265, 5e-6);
  EXPECT_NEAR(student_t95(3), 3.18245, 5e-6);
  EXPECT_NEAR(student_t95(4), 2.77645, 5e-6);
  EXPECT_NEAR(student_t95(7), 2.36462, 5e-6);
  EXPECT_NEAR(student_t95(10), 2.22814, 5e-6);
  EXPECT_NEAR(student_t95(30), 2.04227, 5e-6);
  EXPECT_NEAR(student_t95(120), 1.97993, 5e-6);
  EXPECT_NEAR(student_t95(100000), 1.95999, 2e-5);  // the normal quantile is 1.95996
}

// Eight windows of one token: mean 4.5, s^2 = 6, t(7) = 2.36462, half width = 2.36462 sqrt(6 / 8) = 2.04782.
TEST(Interval, EqualWindowsGiveTheTextbookInterval) {
  const std::vector<double> values{1, 2, 3, 4, 5, 6, 7, 8};
  const std::vector<int64_t> counts(8, 1);
  const MeanInterval out = mean_interval(values, counts);
  EXPECT_DOUBLE_EQ(out.mean, 4.5);
  EXPECT_NEAR(out.high - out.mean, 2.04782, 1e-5);
  EXPECT_NEAR(out.mean - out.low, 2.04782, 1e-5);
  EXPECT_EQ(out.basis, "Student t over 8 windows");
}

// Windows of 1 and 3 tokens alternate, all tokens of a window equal: window means 0 (weight 1) and 1 (weight 3).
// m = 12/16 = 0.75; sum (w (x - m))^2 = 4 * 0.75^2 + 4 * (3 * 0.25)^2 = 4.5; var = 8/7 * 4.5 / 16^2.
TEST(Interval, WindowsAreWeightedByTheirTokens) {
  std::vector<double> values;
  std::vector<int64_t> counts;
  for (int i = 0; i < 4; ++i) {
    values.insert(values.end(), {0, 1, 1, 1});
    counts.insert(counts.end(), {1, 3});
  }
  const MeanInterval out = mean_interval(values, counts);
  EXPECT_DOUBLE_EQ(out.mean, 0.75);
  EXPECT_NEAR(out.high - out.mean, 2.364624 * std::sqrt(8.0 / 7 * 4.5 / 256), 1e-6);
}

TEST(Interval, FewWindowsAreCutIntoBlocks) {
  const std::vector<double> values(300, 1.0);
  const std::vector<int64_t> two{150, 150};
  EXPECT_EQ(mean_interval(values, two).basis, "Student t over 10 blocks of 37 positions");
  const std::vector<double> many(2000, 1.0);
  const std::vector<int64_t> one{2000};
  EXPECT_EQ(mean_interval(many, one).basis, "Student t over 32 blocks of 64 positions");
  EXPECT_EQ(mean_interval(many, one).low, 1.0);  // no spread at all
  const std::vector<double> three{1, 2, 3};
  const std::vector<int64_t> short_one{3};
  EXPECT_EQ(mean_interval(three, short_one).basis, "Student t over 3 blocks of 1 positions");
}

TEST(Interval, OneTokenHasNone) {
  const std::vector<double> values{2.5};
  const std::vector<int64_t> counts{1};
  const MeanInterval out = mean_interval(values, counts);
  EXPECT_EQ(out.low, 2.5);
  EXPECT_EQ(out.high, 2.5);
  EXPECT_EQ(out.basis, "none: a single scored token");
}

// Normal values, 10 windows of 50: the interval holds the true mean in 95 % of 2000 trials. Standard deviation of the
// count is sqrt(2000 * 0.95 * 0.05) = 9.7; five of them are allowed.
TEST(Interval, CoversTheTruthAsOftenAsItSays) {
  Rng rng(11, 0);
  const std::vector<int64_t> counts(10, 50);
  int held = 0;
  for (int trial = 0; trial < 2000; ++trial) {
    std::vector<double> values;
    for (int w = 0; w < 10; ++w) {
      const double topic = rng.normal();  // tokens of a window are dependent
      for (int i = 0; i < 50; ++i) values.push_back(3 + topic + rng.normal());
    }
    const MeanInterval out = mean_interval(values, counts);
    held += out.low <= 3 && 3 <= out.high ? 1 : 0;
  }
  EXPECT_NEAR(held, 1900, 49);
}

}  // namespace
}  // namespace bitloom
