#include "observe/input_statistics.h"

#include <gtest/gtest.h>

#include "observe/test_values.h"

namespace bitloom {
namespace {

constexpr int64_t kTokens = 12, kChannels = 5;

// Only what is asked for is held: a range of 50000 channels must not bring a matrix of 50000 x 50000 with it.
TEST(InputStatistics, HoldWhatWasAskedFor) {
  const InputStatistics ranges(50000, {.range = true, .mean = true});
  EXPECT_FALSE(ranges.moment);
  EXPECT_FALSE(ranges.cross);
  EXPECT_EQ(ranges.channels(), 50000);
  EXPECT_TRUE(InputStatistics(4, {.second_moment = true}).moment);
  EXPECT_TRUE(InputStatistics(4, {.cross_moment = true}).cross);
}

TEST(InputStatistics, TheFirstHalfIsKeptBesideTheWhole) {
  ThreadPool threads(1);
  const std::vector<float> x = testing::normal_values(kTokens * kChannels, 1);
  const std::vector<float> f = testing::normal_values(kTokens * kChannels, 2);
  constexpr int64_t kFirst = 5;
  const Needs needs{.second_moment = true, .cross_moment = true, .halves = true};
  InputStatistics both(kChannels, needs), first(kChannels, needs);
  both.add(f.data(), x.data(), kTokens, threads, 0, kFirst);
  first.add(f.data(), x.data(), kFirst, threads);
  EXPECT_EQ(both.moment->tokens(), kTokens);
  EXPECT_EQ(both.half->moment.tiles(), first.moment->tiles());
  EXPECT_EQ(both.half->cross.sums(), first.cross->sums());
  EXPECT_EQ(first.half->moment.tokens(), 0);
}

TEST(InputStatistics, CountsAreThoseOfTheSecondMomentWithAndWithoutOne) {
  ThreadPool threads(2);
  std::vector<float> x = testing::normal_values(kTokens * kChannels, 1);
  for (int64_t t = 0; t < kTokens; ++t) x[static_cast<size_t>(t * kChannels + 3)] = 0;
  x[2 * kChannels] = testing::kInf, x[7 * kChannels + 1] = testing::kNan;
  InputStatistics with(kChannels), without(kChannels, {.range = true});
  for (InputStatistics* statistics : {&with, &without}) {
    statistics->add(nullptr, x.data(), kTokens, threads);
    EXPECT_EQ(statistics->tokens(), kTokens - 2);
    EXPECT_EQ(statistics->dropped_tokens(), 2);
    EXPECT_EQ(statistics->dead_channels(), 1);
  }
  EXPECT_EQ(with.moment->tokens(), with.tokens());
  EXPECT_EQ(with.moment->dropped_tokens(), with.dropped_tokens());
  EXPECT_EQ(with.range.absmax(), without.range.absmax());
}

}  // namespace
}  // namespace bitloom
