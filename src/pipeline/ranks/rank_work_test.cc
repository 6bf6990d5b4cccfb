#include "pipeline/ranks/rank_work.h"

#include <gtest/gtest.h>

#include "base/test_data.h"

namespace bitloom {
namespace {

/// Two processes that hold the same: what one gives, the other gives as well.
class TwoAlike final : public Ranks {
 public:
  int size() const override { return 2; }
  void sum_in_rank_order(std::span<double> values) override {
    for (double& value : values) value += value;
  }
  void sum_in_rank_order(std::span<float> values) override {
    for (float& value : values) value += value;
  }
  std::vector<Bytes> gather(const Bytes& mine) override { return {mine, mine}; }
};

InputStatistics seen_times(int times, const Needs& needs) {
  ThreadPool threads(1);
  InputStatistics statistics(3, needs);
  const std::vector<float> x = {1, -2, 0.5f, 4, 0, 7}, f = {1, 0, 1, 2, 2, 2};
  for (int i = 0; i < times; ++i) statistics.add(f.data(), x.data(), 2, threads, 0, 2);
  return statistics;
}

TEST(SumOverRanks, GivesWhatOneProcessWouldHaveSeen) {
  for (const bool all : {true, false}) {
    const Needs needs{.second_moment = all, .cross_moment = all, .halves = all, .range = true, .histogram = all};
    InputStatistics sum = seen_times(1, needs);
    TwoAlike ranks;
    sum_over_ranks(sum, ranks);
    const InputStatistics twice = seen_times(2, needs);
    EXPECT_EQ(sum.tokens(), 4);
    EXPECT_EQ(sum.range.low(), twice.range.low());
    EXPECT_EQ(sum.range.high(), twice.range.high());
    EXPECT_EQ(sum.range.sums(), twice.range.sums());
    ASSERT_EQ(sum.moment.has_value(), all);
    ASSERT_EQ(sum.cross.has_value(), all);
    ASSERT_EQ(sum.histogram.has_value(), all);
    if (!all) continue;
    EXPECT_EQ(sum.moment->tiles(), twice.moment->tiles());
    EXPECT_EQ(sum.moment->tokens(), 4);
    EXPECT_EQ(sum.cross->sums(), twice.cross->sums());
    EXPECT_EQ(sum.half->moment.tiles(), twice.half->moment.tiles());
    EXPECT_EQ(sum.half->moment.tokens(), 4);
    EXPECT_EQ(sum.half->cross.sums(), twice.half->cross.sums());
    EXPECT_EQ(sum.half->cross.tokens(), 4);
    EXPECT_EQ(sum.histogram->counts(), twice.histogram->counts());
    EXPECT_EQ(sum.histogram->exponent(), twice.histogram->exponent());
    EXPECT_EQ(sum.histogram->low(), -2);
    EXPECT_EQ(sum.histogram->high(), 7);
  }
}

/// One of three processes, and what the others gave.
class OneOfThree final : public Ranks {
 public:
  explicit OneOfThree(int rank, std::vector<Bytes>* given) : rank_(rank), given_(given) {}
  int rank() const override { return rank_; }
  int size() const override { return 3; }
  std::vector<Bytes> gather(const Bytes& mine) override {
    given_->push_back(mine);
    return *given_;
  }

 private:
  int rank_;
  std::vector<Bytes>* given_;
};

// Nearly all tokens are equal, of each rank and of all: what is kept is what one process would have kept.
TEST(SumOverRanks, SamplesOfRepeatedTokensAreThoseOfAll) {
  constexpr int64_t kTokens = 90, kChannels = 2, kRanks = 3, kShare = kTokens / kRanks;
  const Needs needs{.sample = 8};
  ThreadPool threads(1);
  std::vector<float> x(kTokens * kChannels, 1.0f);
  for (size_t i = 0; i < 6; ++i) x[i * 31] = 2.5f;
  InputStatistics all(kChannels, needs);
  all.add(nullptr, x.data(), kTokens, threads);
  std::vector<Bytes> given;
  for (int rank = 0; rank < kRanks; ++rank) {
    InputStatistics own(kChannels, needs);
    const int64_t first = rank * kShare;
    own.add(nullptr, x.data() + first * kChannels, kShare, threads, first);
    OneOfThree ranks(rank, &given);
    sum_over_ranks(own, ranks);
    if (rank + 1 < kRanks) continue;  // has not heard of all
    EXPECT_EQ(own.sample->rows(), all.sample->rows());
    EXPECT_EQ(own.sample->counts(), all.sample->counts());
    EXPECT_EQ(own.sample->kept_numbers(), all.sample->kept_numbers());
  }
}

TEST(MadeByRanks, EachMakesItsShareAndAllGetAll) {
  std::vector<Bytes> given;
  std::vector<int64_t> made;
  std::vector<std::vector<double>> all;
  for (int rank = 0; rank < 3; ++rank) {
    OneOfThree ranks(rank, &given);
    all = made_by_ranks(5, ranks, [&](int64_t i) {
      made.push_back(i);
      return std::vector<double>(static_cast<size_t>(i), 0.5);
    });
  }
  EXPECT_EQ(made, (std::vector<int64_t>{0, 1, 2, 3, 4}));
  ASSERT_EQ(all.size(), 5U);
  for (size_t i = 0; i < 5; ++i) EXPECT_EQ(all[i], std::vector<double>(i, 0.5));
}

}  // namespace
}  // namespace bitloom
