#include "observe/token_sample.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/rng.h"

namespace bitloom {
namespace {

constexpr int64_t kChannels = 5;

/// Tokens of different lengths, up to e^3 times.
std::vector<float> tokens_of(int64_t count, uint64_t seed) {
  Rng rng(seed, 1);
  std::vector<float> x;
  for (int64_t t = 0; t < count; ++t) {
    const double size = std::exp(3 * rng.uniform());
    for (int64_t c = 0; c < kChannels; ++c) x.push_back(static_cast<float>(size * rng.normal()));
  }
  return x;
}

// The same whatever the order and the cuts.
TEST(TokenSample, DependsOnTheTokensAndTheirNumbers) {
  std::vector<float> x = tokens_of(300, 1);
  std::copy_n(x.begin(), 10 * kChannels, x.begin() + 50 * kChannels);  // some come twice
  TokenSample whole(kChannels, 40), backwards(kChannels, 40), first(kChannels, 40), merged(kChannels, 40);
  whole.add(x.data(), 300, 0);
  for (int64_t t = 299; t >= 0; --t) backwards.add(x.data() + t * kChannels, 1, t);
  first.add(x.data() + 100 * kChannels, 200, 100);
  merged.add(x.data(), 100, 0);
  merged.add(first.kept().data(), first.kept_numbers());
  EXPECT_EQ(whole.tokens(), 40);
  EXPECT_EQ(whole.rows(), backwards.rows());
  EXPECT_EQ(whole.rows(), merged.rows());
  EXPECT_EQ(whole.counts(), merged.counts());
}

// Sums over all tokens of what grows with squares, here the squares of one channel: on average over samples they are
// right, and each is as near as 400 of 4000 tokens can be expected to be.
TEST(TokenSample, EstimatesSumsOverAllTokens) {
  double mean = 0;
  constexpr int kSamples = 20;
  for (uint64_t seed = 0; seed < kSamples; ++seed) {
    const std::vector<float> x = tokens_of(4000, 10 + seed);
    double all = 0, estimate = 0;
    for (size_t i = 0; i < x.size(); i += kChannels) all += double{x[i]} * double{x[i]};
    TokenSample sample(kChannels, 400);
    sample.add(x.data(), 4000, 0);
    const std::vector<float> rows = sample.rows();
    const std::vector<double> counts = sample.counts();
    for (size_t t = 0; t < counts.size(); ++t)
      estimate += counts[t] * double{rows[t * kChannels]} * double{rows[t * kChannels]};
    EXPECT_NEAR(estimate / all, 1, 0.2);
    mean += estimate / all / kSamples;
  }
  // Of one sample the deviation is 1 / sqrt(400) of a share x^2 / |x|^2 that itself varies by as much as it is.
  EXPECT_NEAR(mean, 1, 3 * 0.05 / std::sqrt(kSamples));
}

// Of two equal halves as many are kept, and they count for all: 10,000 tokens of each of two kinds, 100 times.
TEST(TokenSample, CountsTokensThatRepeat) {
  constexpr int64_t kTokens = 20000, kKept = 64;
  std::vector<float> x(kTokens * kChannels, 1.0f);
  for (int64_t t = 0; t < kTokens; t += 2) x[static_cast<size_t>(t * kChannels)] = -1;
  double of_first = 0, of_all = 0;
  constexpr int kSamples = 100;
  for (int64_t i = 0; i < kSamples; ++i) {
    // Two processes, each with half of the tokens.
    TokenSample both(kChannels, kKept), other(kChannels, kKept);
    const int64_t half = kTokens / 2, first = i * kTokens;
    both.add(x.data(), half, first);
    other.add(x.data() + half * kChannels, half, first + half);
    both.add(other.kept().data(), other.kept_numbers());
    const std::vector<float> rows = both.rows();
    const std::vector<double> counts = both.counts();
    for (size_t t = 0; t < counts.size(); ++t) {
      of_all += counts[t] / kTokens / kSamples;
      if (rows[t * kChannels] < 0) of_first += counts[t] / kTokens / kSamples;
    }
  }
  // A sample's estimate deviates by 1 / sqrt(62) of the sum (Duffield et al., theorem 4.2: of equal weights).
  EXPECT_NEAR(of_all, 1, 3 / std::sqrt(62.0 * kSamples));
  EXPECT_NEAR(of_first, 0.5, 3 * 0.5 / std::sqrt(31.0 * kSamples));
}

// A token far larger than all others is there, once.
TEST(TokenSample, KeepsTheLargest) {
  std::vector<float> x = tokens_of(1000, 3);
  std::fill_n(x.begin() + 777 * kChannels, kChannels, 1e4f);
  TokenSample sample(kChannels, 20);
  sample.add(x.data(), 1000, 0);
  EXPECT_EQ(sample.rows()[0], 1e4f);
  EXPECT_EQ(sample.counts()[0], 1);
}

TEST(TokenSample, KeepsFewerWhereThereAreFewer) {
  std::vector<float> x = tokens_of(4, 3);
  x[kChannels] = NAN;
  std::fill_n(x.begin() + 2 * kChannels, kChannels, 0.0f);
  TokenSample sample(kChannels, 10);
  sample.add(x.data(), 4, 0);
  EXPECT_EQ(sample.tokens(), 2);
  EXPECT_EQ(sample.counts(), (std::vector<double>{1, 1}));
  for (const float value : sample.rows()) EXPECT_NE(std::find(x.begin(), x.end(), value), x.end());
}

}  // namespace
}  // namespace bitloom
