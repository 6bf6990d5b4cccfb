#include "eval/statistics/paired.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "base/error.h"

namespace bitloom {
namespace {

using ::testing::HasSubstr;

// n = 6, k = 1: 2 (1 + 6) / 64.  n = 10, k = 0: 2 / 1024.  n = 12, k = 2: 2 (1 + 12 + 66) / 4096.
TEST(Paired, McNemarIsTheBinomialByHand) {
  EXPECT_NEAR(mcnemar_p_value(1, 5), 14.0 / 64, 1e-13);
  EXPECT_NEAR(mcnemar_p_value(5, 1), 14.0 / 64, 1e-13);
  EXPECT_NEAR(mcnemar_p_value(0, 10), 2.0 / 1024, 1e-15);
  EXPECT_NEAR(mcnemar_p_value(10, 2), 158.0 / 4096, 1e-14);
  EXPECT_EQ(mcnemar_p_value(0, 0), 1);
  EXPECT_EQ(mcnemar_p_value(4, 4), 1);  // twice the half and the middle term is more than 1
  EXPECT_EQ(mcnemar_p_value(1, 0), 1);
}

// Sum of Pascal's row in long double, halved at each step.
TEST(Paired, McNemarOfManyItemsIsPascalsRow) {
  const int n = 400;
  std::vector<long double> row{1};
  for (int i = 1; i <= n; ++i) {
    std::vector<long double> next(static_cast<size_t>(i) + 1);
    for (int k = 0; k <= i; ++k)
      next[static_cast<size_t>(k)] =
          ((k > 0 ? row[static_cast<size_t>(k) - 1] : 0) + (k < i ? row[static_cast<size_t>(k)] : 0)) / 2;
    row = next;
  }
  for (const int k : {130, 170, 190, 198}) {
    long double sum = 0;
    for (int i = 0; i <= k; ++i) sum += row[static_cast<size_t>(i)];
    // lgamma near 2000 is off by a few 2^-42 in absolute terms, that is relative to the term.
    const auto expected = static_cast<double>(2 * sum);
    EXPECT_NEAR(mcnemar_p_value(k, n - k), expected, 1e-10 * expected) << k;
  }
  EXPECT_EQ(mcnemar_p_value(0, 100000), 0);  // 2^-100000
}

TEST(Paired, ItemsAreCountedByWhoWasRight) {
  const std::vector<uint8_t> reference{1, 1, 1, 1, 0, 0, 1, 0}, model{1, 0, 0, 0, 1, 0, 1, 0};
  const McNemar out = mcnemar(reference, model);
  EXPECT_EQ(out.both, 2);
  EXPECT_EQ(out.only_reference, 3);
  EXPECT_EQ(out.only_model, 1);
  EXPECT_EQ(out.neither, 2);
  EXPECT_NEAR(out.p_value, 2 * (1 + 4) / 16.0, 1e-15);
}

// Differences 1, 2, 3, 6: mean 3, sum of squares 4 + 1 + 0 + 9 = 14, s.e. sqrt(14 / 12), t(3) = 3.182446.
TEST(Paired, DifferenceIsTheTextbookInterval) {
  const std::vector<double> reference{0, 1, 2, 3}, model{1, 3, 5, 9};
  const PairedDifference out = paired_difference(reference, model);
  EXPECT_EQ(out.items, 4);
  EXPECT_NEAR(out.mean, 3, 1e-15);
  EXPECT_NEAR(out.standard_error, std::sqrt(14.0 / 12), 1e-15);
  EXPECT_NEAR(out.high - out.mean, 3.182446 * std::sqrt(14.0 / 12), 1e-5);
  EXPECT_NEAR(out.mean - out.low, out.high - out.mean, 1e-15);
}

TEST(Paired, OneItemHasNoSpread) {
  const std::vector<double> reference{2}, model{5};
  const PairedDifference out = paired_difference(reference, model);
  EXPECT_EQ(out.low, 3);
  EXPECT_EQ(out.high, 3);
}

TEST(Paired, ItemsMustBeTheSame) {
  const std::vector<uint8_t> three(3), two(2);
  const std::vector<double> none;
  try {
    mcnemar(three, two);
    FAIL();
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("3 items of the reference, 2 of the model"));
  }
  EXPECT_THROW(paired_difference(none, none), Error);
}

}  // namespace
}  // namespace bitloom
