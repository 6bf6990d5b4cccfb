#include "round/claq/allocation.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>

#include "base/error.h"
#include "base/test_data.h"
#include "round/claq/claq.h"

namespace bitloom {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::vector<int64_t> first_to_last(int64_t n) {
  std::vector<int64_t> order(static_cast<size_t>(n));
  std::iota(order.begin(), order.end(), int64_t{0});
  return order;
}

std::vector<int> published_widths(int64_t columns, int64_t milli_bits) {
  return ranked_widths(first_to_last(columns), milli_bits, width_pair("w", milli_bits, 0, 0));
}

// Of 4096 columns: 2.05 means 102.4 wide ones, 3.1 means 409.6.
TEST(Allocation, GivesThePublishedNumbersOfWideColumns) {
  for (const auto& [milli_bits, count] :
       {std::pair{2050, 102}, {2100, 205}, {2200, 410}, {2500, 1024}, {3050, 205}, {3100, 410}}) {
    const std::vector<int> widths = published_widths(4096, milli_bits);
    EXPECT_EQ(std::count(widths.begin(), widths.end(), 4), count) << milli_bits;
    EXPECT_EQ(std::count(widths.begin(), widths.end(), milli_bits / 1000), 4096 - count) << milli_bits;
    EXPECT_EQ(widths[0], 4);
    EXPECT_EQ(widths[static_cast<size_t>(count)], milli_bits / 1000);
  }
  EXPECT_EQ(published_widths(4096, 3000), std::vector<int>(4096, 3));
  EXPECT_EQ(published_widths(10, 4000), std::vector<int>(10, 4));
  EXPECT_EQ(published_widths(10, 5500)[0], 6);
}

TEST(Allocation, RefusesMeansThatTheWidthsCannotHave) {
  EXPECT_EQ(width_pair("w", 2100, 2, 3).wide, 3);
  EXPECT_THAT(testing::message_of(ErrorKind::kUsage, [] { width_pair("file: w", 1500, 2, 4); }),
              HasSubstr("file: w: columns of 2 and 4 bits cannot have 1.5 bits in the mean"));
  EXPECT_THROW(width_pair("w", 4500, 2, 4), Error);
  EXPECT_THROW(width_pair("w", 3000, 4, 2), Error);
}

TEST(Allocation, OutlierOrderCountsThenTakesTheGreaterMoment) {
  // mean |w| = 1, so an outlier with t = 3 is 3 or more: none, two, one, none, one.
  const std::vector<float> w = {0.5f, 3,  -4, 0.25f, 0.25f,  //
                                0.5f, -3, 0,  0.25f, 3.25f};
  const std::vector<double> counts = outlier_counts(w, 2, 5, 2);
  EXPECT_THAT(counts, ElementsAre(0, 2, 1, 0, 1));
  EXPECT_THAT(by_falling(counts, {1, 1, 2, 3, 2}), ElementsAre(1, 2, 4, 3, 0));
  EXPECT_THAT(outlier_counts({0, 0}, 1, 2, 13), ElementsAre(0, 0));
}

TEST(Allocation, SaliencyWeighsSquaresByTheirCosts) {
  EXPECT_THAT(saliencies({1, 2, 3, 4}, 2, 2, {2, 0.5f}), ElementsAre(10, 5));
}

TEST(Allocation, GainGoesWhereABitTakesAwayMost) {
  // Errors with 0, 1, 2 and 3 bits; every column has one.
  const std::vector<std::vector<double>> errors = {{99, 10, 4, 3}, {99, 20, 19, 18}, {99, 9, 8, 7}};
  EXPECT_THAT(widths_by_gain(errors, 1000, {1, 3}), ElementsAre(1, 1, 1));
  EXPECT_THAT(widths_by_gain(errors, 1334, {1, 3}), ElementsAre(2, 1, 1));  // 4.002 bits
  EXPECT_THAT(widths_by_gain(errors, 1999, {1, 3}), ElementsAre(3, 1, 1));  // of equal gains the first column's
  EXPECT_THAT(widths_by_gain(errors, 3000, {1, 3}), ElementsAre(3, 3, 3));
}

TEST(Reservation, KeepsThePublishedNumbers) {
  const auto both = [](const KeptCounts& counts) { return counts.top + counts.bottom; };
  EXPECT_EQ(both(published_counts(4096, 0.004)), 33);
  EXPECT_EQ(both(published_counts(4096, 0.014)), 115);
  EXPECT_EQ(both(published_counts(4096, 0)), 0);
  const std::vector<int64_t> order = first_to_last(256);
  const Reservation shares{0.004, 0.014};
  EXPECT_DOUBLE_EQ(shares.mean(), 0.01);
  const std::vector<KeptCounts> kept = kept_as_published(order, 4096, shares, {});
  EXPECT_EQ(both(kept[25]), 115);  // round(25.6) columns keep most
  EXPECT_EQ(both(kept[26]), 33);
  EXPECT_EQ(both(kept[128]), 33);
  const std::vector<KeptCounts> bug = kept_as_published(order, 4096, shares, order);
  EXPECT_EQ(both(bug[128]), 115);
  EXPECT_EQ(both(bug[154]), 33);
}

TEST(Reservation, ByMagnitudeNeverKeepsMoreThanItsShare) {
  for (const int64_t rows : {1, 64, 192, 256, 4096}) {
    for (const Reservation& shares : {Reservation{0.004, 0.014}, {0.1, 0}, {0.24, 0.01}}) {
      for (const int64_t cols : {96, 99}) {
        int64_t total = 0;
        for (const KeptCounts& counts : kept_by_magnitude(first_to_last(cols), rows, shares)) total += counts.greatest;
        EXPECT_LE(static_cast<double>(total), shares.mean() * static_cast<double>(cols * rows));
      }
    }
  }
}

// "2.12" and "3.12": 2.05 and 3.05 and one tail of 0.5 % of the weights in 16 bits.
TEST(Claq, BitsAsThePaperCounts) {
  const ClaqRounding reserving{.reserved = 0.004, .reserved_most = 0.014};
  EXPECT_NEAR(published_bits(reserving, 2050), 2.12, 1e-9);
  EXPECT_NEAR(published_bits(reserving, 3050), 3.115, 1e-9);
  EXPECT_NEAR(published_bits({}, 2100), 2.1, 1e-12);
}

}  // namespace
}  // namespace bitloom
