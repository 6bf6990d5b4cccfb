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
TEST(TokenSample, DependsOnTheTokensAlone) {
  std::vector<float> x = tokens_of(300, 1);
  std::copy_n(x.begin(), 10 * kChannels, x.begin() + 50 * kChannels);  // some come twice
  TokenSample whole(kChannels, 40), backwards(kChannels, 40), first(kChannels, 40), merged(kChannels, 40);
  whole.add(x.data(), 300);
  for (int64_t t = 299; t >= 0; --t) backwards.add(x.data() + t * kChannels, 1);
  first.add(x.data() + 100 * kChannels, 200);
  merged.add(x.data(), 100);
  merged.add(first.kept().data(), 41);
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
    sample.add(x.data(), 4000);
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

// A token far larger than all others is there, once.
TEST(TokenSample, KeepsTheLargest) {
  std::vector<float> x = tokens_of(1000, 3);
  std::fill_n(x.begin() + 777 * kChannels, kChannels, 1e4f);
  TokenSample sample(kChannels, 20);
  sample.add(x.data(), 1000);
  EXPECT_EQ(sample.rows()[0], 1e4f);
  EXPECT_EQ(sample.counts()[0], 1);
}

TEST(TokenSample, KeepsFewerWhereThereAreFewer) {
  std::vector<float> x = tokens_of(4, 3);
  x[kChannels] = NAN;
  std::fill_n(x.begin() + 2 * kChannels, kChannels, 0.0f);
  TokenSample sample(kChannels, 10);
  sample.add(x.data(), 4);
  EXPECT_EQ(sample.tokens(), 2);
  EXPECT_EQ(sample.counts(), (std::vector<double>{1, 1}));
  for (const float value : sample.rows()) EXPECT_NE(std::find(x.begin(), x.end(), value), x.end());
}

}  // namespace
}  // namespace bitloom
