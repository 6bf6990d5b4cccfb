#include "observe/moment/second_moment.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "base/error.h"
#include "base/rng.h"

namespace bitloom {
namespace {

std::vector<float> random_tokens(int64_t count, uint64_t stream) {
  Rng rng(5, stream);
  std::vector<float> x(static_cast<size_t>(count));
  for (float& value : x) value = static_cast<float>(rng.normal());
  return x;
}

/// sum_t x_ti x_tj in double, and the sum of magnitudes for the error bound.
std::pair<double, double> reference(const std::vector<float>& x, int64_t tokens, int64_t stride, int64_t i, int64_t j) {
  double sum = 0, magnitude = 0;
  for (int64_t t = 0; t < tokens; ++t) {
    const double term = static_cast<double>(x[static_cast<size_t>(t * stride + i)]) *
                        static_cast<double>(x[static_cast<size_t>(t * stride + j)]);
    sum += term, magnitude += std::abs(term);
  }
  return {sum, magnitude};
}

// A fp32 sum of k products is within (k + 1) eps sum |terms|; k is at most one panel, the fp64 part adds nothing
// visible.
TEST(SecondMoment, EqualsTheReferenceForOddSizesAndStrides) {
  ThreadPool threads(2);
  constexpr int64_t kChannels = 300, kStride = 303, kTokens = 1100;
  const auto x = random_tokens(kTokens * kStride, 1);
  SecondMoment moment(kChannels);
  moment.add(x.data(), 700, kStride, threads);
  moment.add(x.data() + 700 * kStride, kTokens - 700, kStride, threads);
  EXPECT_EQ(moment.tokens(), kTokens);
  std::vector<float> h(kChannels * kChannels);
  moment.copy_to(h.data(), threads);
  constexpr double kEps = std::numeric_limits<float>::epsilon();
  for (const int64_t i : {0, 1, 255, 256, 299}) {
    for (int64_t j = 0; j < kChannels; ++j) {
      const auto [sum, magnitude] = reference(x, kTokens, kStride, i, j);
      ASSERT_NEAR(moment.mean(i, j) * kTokens, sum, 1025 * kEps * magnitude) << i << " " << j;
      EXPECT_EQ(moment.mean(i, j), moment.mean(j, i));
      EXPECT_EQ(h[static_cast<size_t>(i * kChannels + j)], static_cast<float>(moment.mean(i, j)));
    }
    EXPECT_EQ(moment.mean_squares()[static_cast<size_t>(i)], moment.mean(i, i));
  }
}

TEST(SecondMoment, CopiesRowsAsItCopiesAll) {
  ThreadPool threads(2);
  constexpr int64_t kChannels = 600;
  const auto x = random_tokens(10 * kChannels, 7);
  SecondMoment moment(kChannels);
  moment.add(x.data(), 10, kChannels, threads);
  std::vector<float> all(kChannels * kChannels);
  moment.copy_to(all.data(), threads);
  constexpr std::pair<int64_t, int64_t> kRanges[] = {{0, 600}, {0, 256}, {250, 515}, {512, 600}, {7, 8}, {9, 9}};
  for (const auto& [begin, end] : kRanges) {
    std::vector<float> rows(static_cast<size_t>((end - begin) * kChannels), -1.0f);
    moment.copy_rows(begin, end, rows.data(), threads);
    EXPECT_TRUE(std::equal(rows.begin(), rows.end(), all.begin() + begin * kChannels)) << begin << " to " << end;
  }
}

TEST(SecondMoment, MergedPartsEqualTheWhole) {
  ThreadPool threads(2);
  const auto x = random_tokens(40 * 17, 2);
  SecondMoment whole(17), first(17), second(17);
  for (int64_t t = 0; t < 40; ++t) whole.add(x.data() + t * 17, 1, 17, threads);
  first.add(x.data(), 20, 17, threads);
  second.add(x.data() + 20 * 17, 20, 17, threads);
  first.merge(second);
  EXPECT_EQ(first.tokens(), 40);
  for (int64_t i = 0; i < 17; ++i) {
    EXPECT_NEAR(first.mean(i, 3), whole.mean(i, 3), 1e-5);  // 21 eps times a mean magnitude of about one
  }
  SecondMoment other(18);
  EXPECT_THROW(first.merge(other), Error);
}

TEST(SecondMoment, NonFiniteTokensAreLeftOutAndCounted) {
  ThreadPool threads(1);
  auto x = random_tokens(10 * 4, 3);
  SecondMoment clean(4), moment(4);
  for (const int64_t t : {0, 1, 2, 4, 5, 6, 7, 8}) clean.add(x.data() + t * 4, 1, 4, threads);
  x[3 * 4 + 2] = std::numeric_limits<float>::quiet_NaN();
  x[9 * 4] = std::numeric_limits<float>::infinity();
  moment.add(x.data(), 10, 4, threads);
  EXPECT_EQ(moment.tokens(), 8);
  EXPECT_EQ(moment.dropped_tokens(), 2);
  for (int64_t i = 0; i < 4; ++i) EXPECT_NEAR(moment.mean(i, 1), clean.mean(i, 1), 1e-6);
}

TEST(SecondMoment, RestoresAndGivesTheSameBytesForAnyNumberOfThreads) {
  const auto x = random_tokens(500 * 520, 4);
  ThreadPool one(1), three(3);
  SecondMoment first(520), second(520);
  first.add(x.data(), 500, 520, one);
  second.add(x.data(), 500, 520, three);
  EXPECT_EQ(first.tiles(), second.tiles());
  const SecondMoment back = SecondMoment::restore(520, first.tokens(), 0, first.tiles());
  EXPECT_EQ(back.mean(519, 7), first.mean(519, 7));
  EXPECT_THROW(SecondMoment::restore(521, 1, 0, std::vector<double>(3)), Error);
}

}  // namespace
}  // namespace bitloom
