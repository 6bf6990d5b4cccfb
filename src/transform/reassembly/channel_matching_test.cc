#include "transform/reassembly/channel_matching.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <set>

#include "base/rng.h"

namespace bitloom {
namespace {

using ::testing::ElementsAre;

/// Tokens x [tokens, channels] and weights w [rows, channels] of independent numbers.
struct Layer {
  int64_t channels, tokens = 20, rows = 7;
  std::vector<float> x, w;

  explicit Layer(int64_t count) : channels(count) {
    Rng rng(11, static_cast<uint64_t>(count));
    for (int64_t i = 0; i < tokens * channels; ++i) x.push_back(rng.uniform() - 0.5f);
    for (int64_t i = 0; i < rows * channels; ++i) w.push_back(rng.uniform() - 0.5f);
  }
  /// sum over rows of a [rows, channels] of a_i a_j, divided by `by`.
  std::vector<float> moment(const std::vector<float>& a, double by) const {
    std::vector<float> gram;
    for (int64_t i = 0; i < channels; ++i) {
      for (int64_t j = 0; j < channels; ++j) {
        double sum = 0;
        for (size_t at = 0; at < a.size(); at += static_cast<size_t>(channels)) {
          sum +=
              static_cast<double>(a[at + static_cast<size_t>(i)]) * static_cast<double>(a[at + static_cast<size_t>(j)]);
        }
        gram.push_back(static_cast<float>(sum / by));
      }
    }
    return gram;
  }
  PairCosts costs(ThreadPool& threads) const {
    return {channels, moment(x, static_cast<double>(tokens)), moment(w, 1), threads};
  }
  /// mean over tokens of |W x - W' y|^2, in fp64 but for what is moved.
  double loss(const ChannelMoves& moves) const {
    const Reassembly reassembly(moves);
    std::vector<float> y = x, v = w;
    const auto width = static_cast<size_t>(channels);
    for (size_t at = 0; at < y.size(); at += width) reassembly.move_values(y.data() + at);
    for (size_t at = 0; at < v.size(); at += width) reassembly.move_weights(v.data() + at);
    double sum = 0;
    for (size_t t = 0; t < x.size(); t += width) {
      for (size_t r = 0; r < w.size(); r += width) {
        double apart = 0;
        for (size_t c = 0; c < width; ++c) {
          apart += static_cast<double>(x[t + c]) * static_cast<double>(w[r + c]) -
                   static_cast<double>(y[t + c]) * static_cast<double>(v[r + c]);
        }
        sum += apart * apart;
      }
    }
    return sum / static_cast<double>(tokens);
  }
};

TEST(PartsOfChannels, AreCeilings) {
  EXPECT_THAT(parts_of_channels(std::vector<float>{0, 1, 2, 2.1f, 9}, 2), ElementsAre(1, 1, 1, 2, 5));
  EXPECT_THAT(parts_of_channels(std::vector<float>{3, 9}, 9), ElementsAre(1, 1));  // theta = max: nothing is split
}

// D(i, j) is what merging i and j does to the outputs, brute force. Moments in fp32 are wrong by 2^-24 of themselves,
// and D by a dozen of these of |x|^2 |w|^2, here about (2 / 12) (2 * 7 / 12) / 4.
TEST(PairCosts, AreTheErrorsOfMerging) {
  ThreadPool threads(2);
  for (const int64_t channels : {8, 9}) {
    const Layer layer(channels);
    const PairCosts costs = layer.costs(threads);
    const auto split = static_cast<int32_t>(channels - 1);
    for (int32_t even = 0; even < split; even += 2) {
      for (int32_t odd = 1; odd < split; odd += 2) {
        EXPECT_NEAR(static_cast<double>(costs.of(even, odd)), layer.loss({{even, odd, split}}), 1e-6) << even << odd;
      }
    }
  }
}

TEST(MatchChannels, TakesTheCheapestOfEveryEvenChannel) {
  ThreadPool threads(2);
  for (const int64_t channels : {12, 13}) {
    const Layer layer(channels);
    const PairCosts costs = layer.costs(threads);
    std::vector<int64_t> parts(static_cast<size_t>(channels), 1);
    parts[4] = 3, parts[7] = 2;
    const auto moves = match_channels(parts, costs);
    ASSERT_TRUE(moves);
    EXPECT_EQ(bad_moves(*moves, channels), "");
    ASSERT_EQ(moves->size(), 3u);
    EXPECT_THAT((std::vector<int32_t>{(*moves)[0].copy, (*moves)[1].copy, (*moves)[2].copy}), ElementsAre(4, 4, 7));
    std::set<int32_t> freed;
    float greatest = 0;
    for (const ChannelMove& move : *moves)
      freed.insert(move.slot), greatest = std::max(greatest, costs.of(move.slot, move.into));
    for (int32_t even = 0; even < channels; even += 2) {
      for (int32_t odd = 1; odd < channels; odd += 2) {
        if (even == 4 || odd == 7 || freed.contains(even)) continue;
        EXPECT_GE(costs.of(even, odd), greatest) << "a pair that was left";
      }
    }
  }
}

TEST(MatchChannels, OfEqualChannelsCostsNothing) {
  ThreadPool threads(2);
  Layer layer(8);
  for (size_t t = 0; t < layer.x.size(); t += 8) layer.x[t + 2] = layer.x[t + 5];
  const auto moves = match_channels(std::vector<int64_t>{1, 1, 1, 1, 1, 1, 1, 2}, layer.costs(threads));
  EXPECT_EQ(moves, (ChannelMoves{{2, 5, 7}}));
  EXPECT_NEAR(layer.loss(*moves), 0, 1e-12);
}

TEST(MatchChannels, NeedsChannelsThatAreWhole) {
  ThreadPool threads(2);
  const PairCosts costs = Layer(6).costs(threads);
  EXPECT_EQ(match_channels(std::vector<int64_t>{1, 1, 1, 1, 1, 1}, costs), ChannelMoves{});
  EXPECT_EQ(match_channels(std::vector<int64_t>{1, 1, 1, 1, 1, 5}, costs), std::nullopt);  // three may go
  EXPECT_EQ(match_channels(std::vector<int64_t>{1, 2, 1, 2, 1, 2}, costs), std::nullopt);  // nothing to join
}

}  // namespace
}  // namespace bitloom
