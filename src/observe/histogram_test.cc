#include "observe/histogram.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "observe/test_values.h"

namespace bitloom {
namespace {

using ::testing::ElementsAre;

Histogram histogram_of(const std::vector<float>& values, int64_t bins) {
  ThreadPool threads(1);
  Histogram histogram(bins);
  const auto n = static_cast<int64_t>(values.size());
  histogram.add(values.data(), n, 1, 1, threads);
  return histogram;
}

TEST(Histogram, ByHand) {
  // Eight bins. 3.9 needs width 1: [-4, 4). Bins: -4 -3 -2 -1 | 0 1 2 3.
  const std::vector<float> values = {0.5f, -0.5f, 1.0f, 3.9f, -4.0f, 0.0f};
  Histogram histogram = histogram_of(values, 8);
  EXPECT_EQ(histogram.width(), 1);
  EXPECT_THAT(histogram.counts(), ElementsAre(1, 0, 0, 1, 2, 1, 0, 1));
  EXPECT_EQ(histogram.low(), -4.0f);
  EXPECT_EQ(histogram.high(), 3.9f);
  // 4.0 lies outside: width 2, pairs add up.
  histogram.merge(histogram_of({4.0f}, 8));
  EXPECT_EQ(histogram.width(), 2);
  EXPECT_THAT(histogram.counts(), ElementsAre(0, 0, 1, 1, 3, 1, 1, 0));
  EXPECT_EQ(histogram.count(), 7);
}

TEST(Histogram, PercentilesByHand) {
  // Values 0 .. 9 in bins of width 1 (32 bins reach 16): the k-th is known to half a bin.
  std::vector<float> values;
  values.reserve(10);
  for (int i = 0; i < 10; ++i) values.push_back(static_cast<float>(i));
  const Histogram histogram = histogram_of(values, 32);
  ASSERT_EQ(histogram.width(), 1);
  EXPECT_EQ(histogram.percentile(0), 0);
  EXPECT_EQ(histogram.percentile(50), 4.5);  // 5 of 10 are <= 4, which lies in the bin [4, 5)
  EXPECT_EQ(histogram.percentile(51), 5.5);
  EXPECT_EQ(histogram.percentile(100), 9);
  EXPECT_EQ(Histogram(8).percentile(50), 0);
  const Histogram negative = histogram_of({-8, -1, -2, -3, 4}, 32);
  EXPECT_EQ(negative.absolute_percentile(100), 8);
  EXPECT_NEAR(negative.absolute_percentile(60), 3, 0.5);  // magnitudes 1 2 3 4 8
}

TEST(Histogram, CountsDoNotDependOnTheOrderOfAddingAndMerging) {
  // Sizes over twelve orders of magnitude, the largest first, last or in the middle.
  std::vector<float> values = testing::normal_values(3000, 1);
  for (size_t i = 0; i < values.size(); ++i) values[i] *= std::pow(10.0f, static_cast<float>(i % 13) - 8.0f);
  const Histogram whole = histogram_of(values, 256);
  const std::vector<float> a(values.begin(), values.begin() + 1000), b(values.begin() + 1000, values.begin() + 1003),
      c(values.begin() + 1003, values.end());
  const Histogram parts[] = {histogram_of(a, 256), histogram_of(b, 256), histogram_of(c, 256), Histogram(256)};
  int order[] = {0, 1, 2, 3};
  do {
    Histogram merged(256);
    for (const int i : order) merged.merge(parts[i]);
    EXPECT_EQ(merged.counts(), whole.counts());
    EXPECT_EQ(merged.width(), whole.width());
    EXPECT_EQ(merged.count(), 3000);
    EXPECT_EQ(merged.low(), whole.low());
    EXPECT_EQ(merged.high(), whole.high());
  } while (std::next_permutation(order, order + 4));
  EXPECT_THROW(Histogram(8).merge(Histogram(16)), Error);
  EXPECT_THROW(Histogram(7), Error);
}

// The stated error: width / 2, and width <= 4 max |v| / bins.
TEST(Histogram, PercentilesAreWithinTheStatedError) {
  std::vector<float> values = testing::normal_values(20001, 2);
  const Histogram histogram = histogram_of(values, 1024);
  std::vector<float> magnitudes;
  magnitudes.reserve(values.size());
  for (const float value : values) magnitudes.push_back(std::abs(value));
  std::sort(values.begin(), values.end());
  std::sort(magnitudes.begin(), magnitudes.end());
  EXPECT_LE(histogram.width(), 4 * double{magnitudes.back()} / 1024);
  for (const double percent : {0.0, 0.01, 1.0, 25.0, 50.0, 99.0, 99.99, 100.0}) {
    const auto rank = static_cast<size_t>(std::max(0.0, std::ceil(percent / 100 * 20001) - 1));
    EXPECT_NEAR(histogram.percentile(percent), values[rank], histogram.width() / 2) << percent;
    EXPECT_NEAR(histogram.absolute_percentile(percent), magnitudes[rank], histogram.width() / 2) << percent;
  }
}

TEST(Histogram, ExtremesOfFloatAndZeroAlone) {
  const float most = std::numeric_limits<float>::max(), least = std::numeric_limits<float>::denorm_min();
  const Histogram wide = histogram_of({most, -most, least}, 4);
  EXPECT_THAT(wide.counts(), ElementsAre(1, 0, 1, 1));  // width 2^127
  EXPECT_EQ(wide.width(), 0x1p127);
  const Histogram narrow = histogram_of({least, 0, -least}, 4);
  EXPECT_THAT(narrow.counts(), ElementsAre(0, 1, 1, 1));
  EXPECT_EQ(histogram_of({0, -0.0f}, 4).percentile(50), 0);
}

TEST(Histogram, RestoredFromWhatItTells) {
  const Histogram made = histogram_of({-3.5f, 0.25f, 100.0f}, 16);
  const Histogram again = Histogram::restore(made.counts(), made.exponent(), made.low(), made.high());
  EXPECT_EQ(again.counts(), made.counts());
  EXPECT_EQ(again.count(), 3);
  EXPECT_EQ(again.width(), made.width());
  EXPECT_EQ(again.percentile(50), made.percentile(50));
  EXPECT_EQ(again.high(), 100.0f);
  EXPECT_THROW(Histogram::restore({1, -1}, 0, 0, 0), Error);
  EXPECT_THROW(Histogram::restore({int64_t{1} << 62, 1}, 0, 0, 0), Error);
  EXPECT_THROW(Histogram::restore({0, 1, 1}, 0, 0, 0), Error);
  EXPECT_THROW(Histogram::restore({1, 1}, 129, 0, 0), Error);
  EXPECT_THROW(Histogram::restore({1, 1}, 0, 0, 1), Error);  // [-1, 1) holds no 1
  EXPECT_THROW(Histogram::restore({1, 1}, 0, 0.5f, 0.25f), Error);
  EXPECT_THROW(Histogram::restore({1, 1}, 0, testing::kNan, 0.25f), Error);
}

TEST(Histogram, SameCountsForAnyNumberOfThreadsAndNonFiniteTokensLeftOut) {
  auto x = testing::normal_values(400 * 30, 3);
  x[5 * 30 + 2] = testing::kNan;
  x[7 * 30] = testing::kInf;
  ThreadPool one(1);
  Histogram first;
  first.add(x.data(), 400, 29, 30, one);
  EXPECT_EQ(first.count(), 398 * 29);
  for (const int count : {2, 3}) {
    ThreadPool threads(count);
    Histogram other;
    other.add(x.data(), 400, 29, 30, threads);
    EXPECT_EQ(other.counts(), first.counts());
  }
}

}  // namespace
}  // namespace bitloom
