#include "transform/reassembly/reassemble.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "base/error.h"
#include "base/memory/dense_matrix.h"
#include "base/rng.h"
#include "forward/input_rounder.h"
#include "transform/reassembly/moved_columns.h"

namespace bitloom {
namespace {

using ::testing::HasSubstr;

using Parity = ReassembleTransform::Parity;

constexpr int64_t kChannels = 32, kRows = 24, kTokens = 300;

std::vector<float> as_it_is(const RowSource& w) { return w.decode_all(); }

/// Levels -7 to 7 of each row's greatest magnitude.
std::vector<float> four_bits(const RowSource& w) {
  std::vector<float> values = w.decode_all();
  for (int64_t row = 0; row < w.rows(); ++row) {
    float* of_row = values.data() + row * w.cols();
    float most = 0;
    for (int64_t c = 0; c < w.cols(); ++c) most = std::max(most, std::abs(of_row[c]));
    for (int64_t c = 0; c < w.cols(); ++c) of_row[c] = most / 7 * std::nearbyint(of_row[c] / (most / 7));
  }
  return values;
}

/// An input with channels 5 and 18 some `factor` times as large as the others, of which each even one is nearly its odd
/// neighbour, and two matrices that read it.
struct Site {
  std::vector<float> x;
  InputStatistics statistics{kChannels, {.second_moment = true, .range = true, .sample = kReassemblyTokens}};
  std::vector<RowSourcePtr> weights;
  ThreadPool threads{2};

  explicit Site(float factor) {
    Rng rng(5, 2);
    const auto numbers = [&rng](int64_t count) {
      std::vector<float> values(static_cast<size_t>(count));
      for (float& value : values) value = rng.uniform() - 0.5f;
      return values;
    };
    x = numbers(kTokens * kChannels);
    for (size_t even = 0; even < x.size(); even += 2) x[even] = x[even + 1] + 0.1f * x[even];
    for (int64_t t = 0; t < kTokens; ++t) x[static_cast<size_t>(t * kChannels + 5)] *= factor;
    for (int64_t t = 0; t < kTokens; ++t) x[static_cast<size_t>(t * kChannels + 18)] *= factor / 2;
    statistics.add(nullptr, x.data(), kTokens, threads);
    for (int matrix = 0; matrix < 2; ++matrix)
      weights.push_back(dense_matrix(kRows, kChannels, numbers(kRows * kChannels)));
  }

  std::vector<ReassembledReader> readers(std::vector<float> (*rounded)(const RowSource&)) const {
    std::vector<ReassembledReader> result;
    for (const RowSourcePtr& w : weights) result.push_back({w, rounded});
    return result;
  }
  ReassemblyChoice choose(const std::string& format, std::vector<float> (*rounded)(const RowSource&),
                          const ReassembleTransform& transform = {}) {
    return choose_reassembly(statistics, parse_activation_format(format), readers(rounded), transform, threads);
  }

  /// E (W x)_o^2
  double square_of(const float* row) const {
    double sum = 0;
    for (size_t t = 0; t < x.size(); t += kChannels) {
      double output = 0;
      for (size_t c = 0; c < kChannels; ++c) output += static_cast<double>(row[c]) * static_cast<double>(x[t + c]);
      sum += output * output;
    }
    return sum / kTokens;
  }

  /// The loss by its definition, over all tokens: all of them are in the sample, and count once.
  double loss(const std::string& format, const ChannelMoves& moves, std::vector<float> (*rounded)(const RowSource&),
              Parity parity = Parity::kNone) {
    ActivationFormat moved = parse_activation_format(format);
    moved.moves = moves, moved.staggered = parity == Parity::kNone;
    std::vector<float> y(x.size());
    InputRounder(moved, kChannels).round(x.data(), kTokens, kChannels, y.data(), threads);
    double sum = 0;
    for (const RowSourcePtr& w : weights) {
      const std::vector<float> exact = w->decode_all(), q = rounded(*moved_columns(w, Reassembly(moves)));
      for (size_t r = 0; r < q.size(); r += kChannels) {
        const double importance = parity == Parity::kNone ? 1 / square_of(exact.data() + r) : 1;
        for (size_t t = 0; t < x.size(); t += kChannels) {
          double apart = 0;
          for (size_t c = 0; c < kChannels; ++c) {
            apart += static_cast<double>(exact[r + c]) * static_cast<double>(x[t + c]) -
                     static_cast<double>(q[r + c]) * static_cast<double>(y[t + c]);
          }
          sum += importance * apart * apart;
        }
      }
    }
    return sum;
  }
};

// A step of 40 / 15 makes all of the others 0, x^2 = 1/12 each; with the large ones in five and three parts it is a
// fifth of that, and errs by 0.53^2 / 12 = 0.024. Staggered parts err as one channel does: of 30 / 12 + 1.2 = 3.7
// remain some 32 * 0.024 = 0.8. Parts that are rounded alike err alike, so that their channel's error stays, 0.59
// twice: some 30 * 0.024 + 1.2 = 1.9 remain. Weights of four bits err as much again, and more where columns of merged
// pairs, up to twice as large, widen a row's steps.
//
// Its losses are those of the definition: products in fp32 differ by 1e-6 of an output, and losses by the like of
// themselves, as errors of 4 bits are some hundredths of an output.
TEST(Reassemble, FindsLessLossWhereChannelsAreLarge) {
  Site site(40);
  for (const auto rounded : {as_it_is, four_bits}) {
    for (const auto& [parity, left] : {std::pair(Parity::kNone, 0.3), std::pair(Parity::kPaper, 0.65)}) {
      const ReassemblyChoice choice = site.choose("int4-asym-token", rounded, {.parity = parity});
      ASSERT_FALSE(choice.moves.empty());
      EXPECT_EQ(choice.staggered, parity == Parity::kNone);
      EXPECT_EQ(bad_moves(choice.moves, kChannels), "");
      EXPECT_LE(choice.moves.size(), 6u);  // 0.2 of 32
      EXPECT_LT(choice.loss, (rounded == as_it_is ? left : 1.0) * choice.plain_loss);
      EXPECT_NEAR(choice.plain_loss, site.loss("int4-asym-token", {}, rounded, parity), 1e-3 * choice.plain_loss);
      EXPECT_NEAR(choice.loss, site.loss("int4-asym-token", choice.moves, rounded, parity), 1e-3 * choice.loss);
      for (const ChannelMove& move : choice.moves) EXPECT_TRUE(move.copy == 5 || move.copy == 18) << move.copy;
    }
  }
}

// Outputs whose readers take them 64 times smaller are worth no more: moves and loss stay, to the bit, as a power of
// two changes no product but its exponent. The paper's loss is decided by them.
TEST(Reassemble, LargeOutputsCountNoMoreThanOthers) {
  Site site(40), scaled(40);
  std::vector<float> w = scaled.weights[0]->decode_all();
  for (size_t i = 0; i < 3 * kChannels; ++i) w[i] *= 64;
  scaled.weights[0] = dense_matrix(kRows, kChannels, w);
  const ReassemblyChoice as_it_is = site.choose("int4-asym-token", four_bits),
                         of_scaled = scaled.choose("int4-asym-token", four_bits);
  EXPECT_EQ(of_scaled.moves, as_it_is.moves);
  EXPECT_EQ(of_scaled.loss, as_it_is.loss);
  const ReassembleTransform paper{.parity = Parity::kPaper};
  EXPECT_GT(scaled.choose("int4-asym-token", four_bits, paper).plain_loss,
            100 * site.choose("int4-asym-token", four_bits, paper).plain_loss);
}

// Levels of other formats lie no step apart, and an output that is always 0 counts for nothing.
TEST(Reassemble, WhatIsNotStaggeredOrCounted) {
  Site site(40);
  std::vector<float> w = site.weights[0]->decode_all();
  std::fill_n(w.begin(), kChannels, 0.0f);
  site.weights[0] = dense_matrix(kRows, kChannels, w);
  const ReassemblyChoice choice = site.choose("e2m1-token", as_it_is);
  EXPECT_FALSE(choice.staggered);
  EXPECT_TRUE(std::isfinite(choice.plain_loss));
  EXPECT_TRUE(std::isfinite(choice.loss));
}

// With channels of one size no merging pays for itself.
TEST(Reassemble, NeverEndsWorseThanWithoutMoves) {
  Site even(1), large(40);
  EXPECT_TRUE(even.choose("int4-asym-token", four_bits).moves.empty());
  const ReassemblyChoice fine = even.choose("int8-token", as_it_is);
  EXPECT_TRUE(fine.moves.empty());
  EXPECT_EQ(fine.loss, fine.plain_loss);
  for (const int64_t steps : {2, 3, 7}) {
    const ReassemblyChoice choice = large.choose("int3-token", four_bits, {.ratio = 0.5, .steps = steps});
    EXPECT_LE(choice.loss, choice.plain_loss) << steps;
  }
}

TEST(Reassemble, ThreadsDoNotMatter) {
  Site one(40), many(40);
  ThreadPool single(1), five(5);
  const ActivationFormat format = parse_activation_format("int4-asym-token");
  const auto a = choose_reassembly(one.statistics, format, one.readers(four_bits), {}, single);
  const auto b = choose_reassembly(many.statistics, format, many.readers(four_bits), {}, five);
  EXPECT_EQ(a.moves, b.moves);
  EXPECT_EQ(a.loss, b.loss);
}

std::string message_of(Site& site, const ReassembleTransform& transform) {
  try {
    site.choose("int4-token", four_bits, transform);
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

TEST(Reassemble, BadInput) {
  Site site(4);
  EXPECT_THAT(message_of(site, {.ratio = 0}), HasSubstr("ratio of channels that may be added is 0, expected above 0"));
  EXPECT_THAT(message_of(site, {.ratio = 0.6}), HasSubstr("is 0.6, expected above 0 to 0.5"));
  EXPECT_THAT(message_of(site, {.steps = 1}), HasSubstr("steps is 1, expected at least 2"));
  site.statistics = InputStatistics(kChannels, {.second_moment = true});
  EXPECT_THAT(message_of(site, {}), HasSubstr("the input's statistics have no sample of tokens"));
  site.statistics = InputStatistics(kChannels, {.second_moment = true, .sample = 4});
  EXPECT_EQ(message_of(site, {}), "");  // nothing was seen: nothing is moved
}

/// Channels of the input merged with others that are the same there and split, as far as it has ones: with nothing
/// rounded the function stays.
TEST(Reassemble, MovedColumnsServeMovedInputs) {
  const Site site(40);
  std::vector<float> x(site.x.begin(), site.x.begin() + kChannels);
  x[3] = x[8], x[11] = x[8];
  const Reassembly reassembly({{3, 8, 5}, {11, 8, 5}});
  std::vector<float> y = x;
  reassembly.move_values(y.data());
  const std::vector<float> w = site.weights[0]->decode_all(),
                           v = moved_columns(site.weights[0], reassembly)->decode_all();
  for (size_t r = 0; r < w.size(); r += kChannels) {
    double before = 0, after = 0;
    for (size_t c = 0; c < kChannels; ++c) {
      before += static_cast<double>(w[r + c]) * static_cast<double>(x[c]);
      after += static_cast<double>(v[r + c]) * static_cast<double>(y[c]);
    }
    EXPECT_NEAR(before, after, 1e-6 * 20);  // the largest product
  }
}

}  // namespace
}  // namespace bitloom
