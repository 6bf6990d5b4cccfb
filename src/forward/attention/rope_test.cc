#include "forward/attention/rope.h"

#include <gtest/gtest.h>

#include <cmath>
#include <complex>
#include <vector>

#include "base/error.h"
#include "base/rng.h"
#include "base/test_data.h"

namespace bitloom {
namespace {

const Rope kPartial{{1.0, 0.3, 0.01}, 1.25};  // 6 of the head's channels turn

std::vector<float> random_head(uint64_t stream) {
  Rng rng(11, stream);
  std::vector<float> x(8);
  for (float& v : x) v = static_cast<float>(rng.normal());
  return x;
}

// The definition: channel pairs (i, i + n) as complex numbers, times e^(i angle), times the attention factor.
TEST(Rope, TurnsPairs) {
  RopeTable table(kPartial);
  table.reach(5000);
  for (const int64_t position : {0, 1, 2, 100, 4999}) {
    const std::vector<float> x = random_head(1);
    std::vector<float> y = x;
    table.rotate(position, table.length(), y.data());
    for (size_t i = 0; i < 3; ++i) {
      const std::complex<double> pair(x[i], x[i + 3]);
      const auto turned = pair * std::polar(1.25, static_cast<double>(position) * kPartial.inv_freq[i]);
      // cos and sin are rounded once (2^-25 of 1.25), two products and a sum of numbers below 4.
      EXPECT_NEAR(y[i], turned.real(), 8 * 0x1p-24 * 4) << position;
      EXPECT_NEAR(y[i + 3], turned.imag(), 8 * 0x1p-24 * 4) << position;
    }
    EXPECT_EQ(y[6], x[6]);
    EXPECT_EQ(y[7], x[7]);
  }
}

// The same pairs with other places: (2i, 2i + 1) in place of (i, i + n).
TEST(Rope, InterleavedPairsAreNeighbours) {
  Rope neighbours = kPartial;
  neighbours.interleaved = true;
  RopeTable table(kPartial), interleaved(neighbours);
  table.reach(64), interleaved.reach(64);
  std::vector<float> halves = random_head(6), pairs = halves;
  for (size_t i = 0; i < 3; ++i) pairs[2 * i] = halves[i], pairs[2 * i + 1] = halves[i + 3];
  table.rotate(41, 64, halves.data());
  interleaved.rotate(41, 64, pairs.data());
  for (size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(pairs[2 * i], halves[i]);
    EXPECT_EQ(pairs[2 * i + 1], halves[i + 3]);
  }
  EXPECT_EQ(pairs[6], halves[6]);
}

// q . k after rotation depends on the distance of the positions alone.
TEST(Rope, ScoresDependOnDistance) {
  RopeTable table(kPartial);
  table.reach(64);
  const auto score = [&](int64_t i, int64_t j) {
    std::vector<float> q = random_head(2), k = random_head(3);
    table.rotate(i, table.length(), q.data());
    table.rotate(j, table.length(), k.data());
    double sum = 0;
    for (size_t c = 0; c < 8; ++c) sum += static_cast<double>(q[c]) * k[c];
    return sum;
  };
  // Eight products of numbers below 4, each factor with an error of some 2^-22.
  EXPECT_NEAR(score(20, 13), score(57, 50), 8 * 4 * 2 * 0x1p-22);
  EXPECT_GT(std::abs(score(20, 13) - score(20, 14)), 1e-3);
}

// Up to max_length the usual frequencies, beyond it the others, at every position.
TEST(Rope, LongSequencesHaveTheirOwnFrequencies) {
  Rope both = kPartial, longer = kPartial;
  both.max_length = 16;
  both.long_inv_freq = longer.inv_freq = {0.5, 0.1, 0.002};
  RopeTable table(both), usual(kPartial), other(longer);
  const auto rotated = [](RopeTable& t, int64_t position, int64_t length) {
    std::vector<float> x = random_head(5);
    t.reach(length);
    t.rotate(position, length, x.data());
    return x;
  };
  for (const int64_t position : {1, 9, 15}) {
    EXPECT_EQ(rotated(table, position, 17), rotated(other, position, 17));
    EXPECT_EQ(rotated(table, position, 16), rotated(usual, position, 16));
    EXPECT_NE(rotated(table, position, 16), rotated(table, position, 17));
  }
}

TEST(Rope, RefusesSequencesThatItHasNoFrequenciesFor) {
  Rope bounded = kPartial;
  bounded.max_length = 16;
  RopeTable table(bounded);
  table.reach(16);
  EXPECT_EQ(testing::message_of(ErrorKind::kRefused, [&] { table.reach(17); }),
            "a sequence of 17 tokens is longer than the 16 that the model's rotary scaling serves here");
}

TEST(Rope, GrowingKeepsTheTable) {
  RopeTable grown(kPartial), whole(kPartial);
  for (int64_t length = 1; length <= 300; length += 7) grown.reach(length);
  whole.reach(300);
  EXPECT_GE(grown.length(), 295);
  for (const int64_t position : {0, 7, 8, 131, 290}) {
    std::vector<float> a = random_head(4), b = a;
    grown.rotate(position, 295, a.data());
    whole.rotate(position, 300, b.data());
    EXPECT_EQ(a, b);
  }
}

}  // namespace
}  // namespace bitloom
