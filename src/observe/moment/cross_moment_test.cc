#include "observe/moment/cross_moment.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "base/error.h"
#include "observe/test_values.h"

namespace bitloom {
namespace {

using ::testing::ElementsAre;

TEST(CrossMoment, ByHand) {
  ThreadPool threads(1);
  // Tokens x = (1, 2), (3, 0); f - x = (1, 0), (0, -2).
  const float x[] = {1, 2, 3, 0}, f[] = {2, 2, 3, -2};
  CrossMoment moment(2);
  moment.add(f, x, 2, 2, threads);
  EXPECT_EQ(moment.tokens(), 2);
  EXPECT_THAT(moment.sums(), ElementsAre(1, 2, -6, 0));  // rows: channel of the error
  std::vector<float> mean(4);
  moment.copy_to(mean.data(), threads);
  EXPECT_THAT(mean, ElementsAre(0.5f, 1, -3, 0));
}

TEST(CrossMoment, EqualInputsGiveExactZeros) {
  ThreadPool threads(1);
  const auto x = testing::normal_values(50 * 40, 1);
  CrossMoment moment(40);
  moment.add(x.data(), x.data(), 50, 40, threads);
  EXPECT_THAT(moment.sums(), ::testing::Each(0.0f));
}

// An fp32 sum of k products, here of up to 1100 tokens, is within (k + 1) eps sum |terms| (Higham, 3.1); the difference
// f - x is itself rounded once, which adds eps per term.
TEST(CrossMoment, EqualsTheReferenceForOddSizesAndStrides) {
  ThreadPool threads(2);
  constexpr int64_t kChannels = 300, kStride = 305, kTokens = 1100;
  const auto x = testing::normal_values(kTokens * kStride, 2), f = testing::normal_values(kTokens * kStride, 3);
  CrossMoment moment(kChannels);
  moment.add(f.data(), x.data(), kTokens, kStride, threads);
  constexpr double kEps = std::numeric_limits<float>::epsilon() / 2;
  for (const int64_t i : {0, 1, 255, 256, 299}) {
    for (int64_t j = 0; j < kChannels; ++j) {
      double sum = 0, magnitude = 0;
      for (int64_t t = 0; t < kTokens; ++t) {
        const auto at = static_cast<size_t>(t * kStride);
        const double difference = double{f[at + static_cast<size_t>(i)]} - double{x[at + static_cast<size_t>(i)]};
        const double term = difference * double{x[at + static_cast<size_t>(j)]};
        sum += term, magnitude += std::abs(term);
      }
      ASSERT_NEAR(moment.sums()[static_cast<size_t>(i * kChannels + j)], sum, (kTokens + 2) * kEps * magnitude)
          << i << " " << j;
    }
  }
}

TEST(CrossMoment, MergedPartsEqualOnePass) {
  ThreadPool threads(2);
  const auto x = testing::integer_values(40 * 17, 4), f = testing::integer_values(40 * 17, 5);
  CrossMoment whole(17), a(17), b(17);
  whole.add(f.data(), x.data(), 40, 17, threads);
  a.add(f.data(), x.data(), 13, 17, threads);
  b.add(f.data() + 13 * 17, x.data() + 13 * 17, 27, 17, threads);
  b.merge(a);
  EXPECT_EQ(b.tokens(), 40);
  EXPECT_EQ(b.sums(), whole.sums());
  EXPECT_THROW(b.merge(CrossMoment(18)), Error);
}

TEST(CrossMoment, PairsWithANonFiniteValueAreLeftOut) {
  ThreadPool threads(1);
  auto x = testing::integer_values(6 * 3, 6), f = testing::integer_values(6 * 3, 7);
  CrossMoment clean(3), moment(3);
  for (const int64_t t : {0, 2, 3, 5}) clean.add(f.data() + t * 3, x.data() + t * 3, 1, 3, threads);
  x[1 * 3 + 2] = testing::kNan;
  f[4 * 3] = testing::kInf;
  moment.add(f.data(), x.data(), 6, 3, threads);
  EXPECT_EQ(moment.tokens(), 4);
  EXPECT_EQ(moment.sums(), clean.sums());
}

TEST(CrossMoment, SameBytesForAnyNumberOfThreadsAndRestored) {
  constexpr int64_t kChannels = 520, kTokens = 300;
  const auto x = testing::normal_values(kTokens * kChannels, 8), f = testing::normal_values(kTokens * kChannels, 9);
  ThreadPool one(1);
  CrossMoment first(kChannels);
  first.add(f.data(), x.data(), kTokens, kChannels, one);
  for (const int count : {2, 3}) {
    ThreadPool threads(count);
    CrossMoment other(kChannels);
    other.add(f.data(), x.data(), kTokens, kChannels, threads);
    EXPECT_EQ(other.sums(), first.sums()) << count;
  }
  const CrossMoment back = CrossMoment::restore(kChannels, first.tokens(), first.sums());
  EXPECT_EQ(back.sums(), first.sums());
  EXPECT_EQ(back.channels(), kChannels);
  EXPECT_THROW(CrossMoment::restore(3, 1, std::vector<float>(8)), Error);
}

}  // namespace
}  // namespace bitloom
