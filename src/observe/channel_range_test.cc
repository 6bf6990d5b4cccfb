#include "observe/channel_range.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "base/error.h"
#include "observe/test_values.h"

namespace bitloom {
namespace {

using ::testing::ElementsAre;

TEST(ChannelRange, ByHand) {
  ThreadPool threads(1);
  const float x[] = {1, -2, 9, 3, -5, 9, -4, -1, 9};  // three tokens of two channels, 9 lies between rows
  ChannelRange range(2);
  EXPECT_THAT(range.low(), ElementsAre(0, 0));
  EXPECT_THAT(range.high(), ElementsAre(0, 0));
  EXPECT_THAT(range.mean(), ElementsAre(0, 0));
  range.add(x, 3, 3, threads);
  EXPECT_EQ(range.tokens(), 3);
  EXPECT_THAT(range.low(), ElementsAre(-4, -5));
  EXPECT_THAT(range.high(), ElementsAre(3, -1));
  EXPECT_THAT(range.absmax(), ElementsAre(4, 5));
  EXPECT_THAT(range.mean(), ElementsAre(0, -8.0 / 3));
}

TEST(ChannelRange, NonFiniteTokensArePassedOver) {
  ThreadPool threads(1);
  const float x[] = {1, 2, testing::kNan, 50, 60, -testing::kInf, 3, -1};
  ChannelRange range(2);
  range.add(x, 4, 2, threads);
  EXPECT_EQ(range.tokens(), 2);
  EXPECT_THAT(range.low(), ElementsAre(1, -1));
  EXPECT_THAT(range.high(), ElementsAre(3, 2));
  EXPECT_THAT(range.sums(), ElementsAre(4, 1));
}

TEST(ChannelRange, MergedPartsEqualOnePassInAnyOrder) {
  ThreadPool threads(2);
  constexpr int64_t kChannels = 600, kTokens = 90;
  const auto x = testing::integer_values(kTokens * kChannels, 1);
  ChannelRange whole(kChannels), a(kChannels), b(kChannels), empty(kChannels);
  whole.add(x.data(), kTokens, kChannels, threads);
  a.add(x.data(), 37, kChannels, threads);
  b.add(x.data() + 37 * kChannels, kTokens - 37, kChannels, threads);
  ChannelRange ab = a, ba = b;
  ab.merge(b), ab.merge(empty);
  ba.merge(empty), ba.merge(a);
  for (const ChannelRange& merged : {ab, ba}) {
    EXPECT_EQ(merged.tokens(), kTokens);
    EXPECT_EQ(merged.low(), whole.low());
    EXPECT_EQ(merged.high(), whole.high());
    EXPECT_EQ(merged.sums(), whole.sums());
  }
  EXPECT_THROW(ab.merge(ChannelRange(3)), Error);
}

TEST(ChannelRange, ZeroHasNoSignWhateverCameFirst) {
  ThreadPool threads(1);
  const float zeros[] = {-0.0f, 0.0f};
  ChannelRange range(1);
  range.add(zeros, 2, 1, threads);
  EXPECT_FALSE(std::signbit(range.low()[0]));
  EXPECT_FALSE(std::signbit(range.high()[0]));
}

TEST(ChannelRange, SameBytesForAnyNumberOfThreadsAndRestored) {
  constexpr int64_t kChannels = 700, kTokens = 150;
  const auto x = testing::normal_values(kTokens * kChannels, 2);
  ThreadPool one(1);
  ChannelRange first(kChannels);
  first.add(x.data(), kTokens, kChannels, one);
  for (const int count : {2, 3}) {
    ThreadPool threads(count);
    ChannelRange other(kChannels);
    other.add(x.data(), 60, kChannels, threads);  // in two calls: tokens are added one after the other all the same
    other.add(x.data() + 60 * kChannels, kTokens - 60, kChannels, threads);
    EXPECT_EQ(other.sums(), first.sums());
    EXPECT_EQ(other.low(), first.low());
    EXPECT_EQ(other.high(), first.high());
  }
  const ChannelRange back = ChannelRange::restore(first.low(), first.high(), first.sums(), first.tokens(), 0);
  EXPECT_EQ(back.mean(), first.mean());
  EXPECT_EQ(back.absmax(), first.absmax());
  EXPECT_THROW(ChannelRange::restore({1}, {2}, {}, 1, 0), Error);
  ChannelRange empty = ChannelRange::restore({0}, {0}, {0}, 0, 0);
  const float five = 5;
  empty.add(&five, 1, 1, one);
  EXPECT_THAT(empty.low(), ElementsAre(5));
}

}  // namespace
}  // namespace bitloom
