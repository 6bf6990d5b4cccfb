#include "format/activations/channel_moves.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <vector>

#include "base/rng.h"

namespace bitloom {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

ChannelMoves moves_of(const std::string& text) {
  ChannelMoves moves;
  EXPECT_TRUE(parse_moves(text, moves)) << text;
  return moves;
}

std::vector<float> moved(const std::string& text, std::vector<float> x) {
  Reassembly(moves_of(text)).move_values(x.data());
  return x;
}

std::vector<float> rewritten(const std::string& text, std::vector<float> w) {
  Reassembly(moves_of(text)).move_weights(w.data());
  return w;
}

TEST(ChannelMoves, ReadsWhatItWrites) {
  for (const std::string text : {"1>0=2", "12>7=3;40>7=3", "0>1=5;2>1=6"}) EXPECT_EQ(to_string(moves_of(text)), text);
  for (const std::string text : {"", "1>0", "1=0>2", "a>0=2", "1>-1=2", "1>0=2;", "1>0=2,3>0=2"}) {
    ChannelMoves moves;
    EXPECT_FALSE(parse_moves(text, moves)) << text;
  }
}

TEST(ChannelMoves, ByTheFormula) {
  // 2 is split into three, two of which lie in 1 and 3; 0 is the mean of 0 and 1, 4 that of 3 and 4.
  EXPECT_THAT(moved("1>0=2;3>4=2", {2, 4, 9, 10, 20}), ElementsAre(3, 3, 3, 3, 15));
  EXPECT_THAT(rewritten("1>0=2;3>4=2", {1, 2, 3, 4, 5}), ElementsAre(3, 3, 3, 3, 9));
  // Two join one channel: the mean of three.
  EXPECT_THAT(moved("1>0=3;2>0=4", {3, 6, 9, 8, 10}), ElementsAre(6, 4, 5, 4, 5));
  EXPECT_THAT(rewritten("1>0=3;2>0=4", {1, 2, 3, 4, 5}), ElementsAre(6, 4, 5, 4, 5));
}

double product(const std::vector<float>& w, const std::vector<float>& x) {
  double sum = 0;
  for (size_t c = 0; c < x.size(); ++c) sum += static_cast<double>(w[c]) * static_cast<double>(x[c]);
  return sum;
}

// <y, d> = <x, adjoint of d>, for all x: of unit vectors every number of the Jacobian.
TEST(ChannelMoves, GradientsGoBackAsValuesCame) {
  for (const std::string text : {"1>0=2;3>4=2", "1>0=3;2>0=4", "0>1=5;2>1=6;3>4=5"}) {
    const Reassembly reassembly(moves_of(text));
    Rng rng(4, 1);
    std::vector<float> d(7);
    for (float& value : d) value = static_cast<float>(rng.normal());
    std::vector<float> back = d;
    reassembly.move_gradients(back.data());
    for (size_t c = 0; c < d.size(); ++c) {
      std::vector<float> unit(d.size());
      unit[c] = 1;
      reassembly.move_values(unit.data());
      EXPECT_NEAR(back[c], product(unit, d), 1e-6) << text << ", channel " << c;
    }
  }
}

// Splitting is exact; what is lost is (x_i - x_j)(w_i - w_j)/2 of a pair, nothing of two that are equal.
TEST(ChannelMoves, LoseHalfTheProductOfDifferences) {
  Rng rng(3, 1);
  for (int turn = 0; turn < 50; ++turn) {
    std::vector<float> x(6), w(6);
    for (float& value : x) value = rng.uniform() - 0.5f;
    for (float& value : w) value = rng.uniform() - 0.5f;
    x[5] *= 40;
    const double exact = product(w, x),
                 lost = 0.5 * static_cast<double>(x[1] - x[0]) * static_cast<double>(w[1] - w[0]);
    EXPECT_NEAR(exact - product(rewritten("1>0=5", w), moved("1>0=5", x)), lost, 1e-5);
    x[1] = x[0];  // alike inputs
    EXPECT_NEAR(product(w, x), product(rewritten("1>0=5", w), moved("1>0=5", x)), 1e-5);
    x[1] = -x[0], w[1] = w[0];  // alike weights
    EXPECT_NEAR(product(w, x), product(rewritten("1>0=5", w), moved("1>0=5", x)), 1e-5);
  }
}

// 2 lies in three slots, 4 in two: a step is cut into thirds, and into halves.
TEST(ChannelMoves, PartsAreStaggered) {
  const std::vector<Reassembly::Offset> offsets = Reassembly(moves_of("3>0=2;1>0=2;5>0=4")).offsets();
  std::vector<int32_t> channels;
  std::vector<float> steps;
  for (const auto& [channel, of_channel] : offsets) channels.push_back(channel), steps.push_back(of_channel);
  EXPECT_THAT(channels, ElementsAre(1, 2, 3, 4, 5));
  EXPECT_THAT(steps, ::testing::Pointwise(::testing::FloatEq(), {1 / 3.0f, -1 / 3.0f, 0.0f, -0.25f, 0.25f}));
  EXPECT_TRUE(Reassembly().offsets().empty());
}

// Rounded parts add up to the whole rounded in the same steps, whatever the number of parts.
TEST(ChannelMoves, StaggeredPartsAddUp) {
  Rng rng(9, 1);
  for (int parts = 2; parts <= 40; ++parts) {
    std::string moves;
    for (int copy = 1; copy < parts; ++copy) moves += (copy > 1 ? ";" : "") + std::to_string(copy + 1) + ">1=0";
    const auto offsets = Reassembly(moves_of(moves)).offsets();
    ASSERT_EQ(offsets.size(), static_cast<size_t>(parts));
    for (int turn = 0; turn < 100; ++turn) {
      const double x = 30 * (static_cast<double>(rng.uniform()) - 0.5);
      if (std::abs(x - std::floor(x) - 0.5) < 1e-3) continue;  // fp32 goes to either side
      double sum = 0;
      for (const auto& offset : offsets) sum += std::nearbyint(x / parts + static_cast<double>(offset.steps));
      EXPECT_EQ(sum, std::nearbyint(x)) << x << " in " << parts;
    }
  }
}

TEST(ChannelMoves, BadOnes) {
  EXPECT_EQ(bad_moves(moves_of("1>0=2;3>0=2"), 4), "");
  EXPECT_THAT(bad_moves(moves_of("1>0=2"), 2), HasSubstr("no channel 2 among 2"));
  EXPECT_THAT(bad_moves(moves_of("1>0=2;1>3=2"), 4), HasSubstr("channel 1 is freed twice"));
  for (const std::string text : {"1>1=2", "1>0=1", "1>2=2", "1>0=2;0>3=2", "1>0=2;2>0=3", "1>0=2;3>2=4"}) {
    EXPECT_THAT(bad_moves(moves_of(text), 5), HasSubstr("two of freed, joined and split")) << text;
  }
}

}  // namespace
}  // namespace bitloom
