#include "eval/reference/compact_row.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>

#include "eval/logits/fake_source.h"

namespace bitloom {
namespace {

using ::testing::ElementsAre;

std::vector<float> logits_of(const std::vector<double>& probabilities) {
  std::vector<float> out;
  out.reserve(probabilities.size());
  for (const double p : probabilities) out.push_back(static_cast<float>(std::log(p)));
  return out;
}

std::vector<float> normal_row(size_t vocab, double spread, uint64_t seed) {
  Rng rng(seed, 9);
  std::vector<float> row(vocab);
  for (float& x : row) x = static_cast<float>(spread * rng.normal());
  return row;
}

/// `row` and noise of this deviation.
std::vector<float> near_row(std::vector<float> row, double noise) {
  Rng rng(99, 9);
  for (float& x : row) x += static_cast<float>(noise * rng.normal());
  return row;
}

std::vector<int32_t> tokens_of(const std::vector<CompactRow::Entry>& entries) {
  std::vector<int32_t> out;
  out.reserve(entries.size());
  for (const CompactRow::Entry& entry : entries) out.push_back(entry.token);
  return out;
}

// 0.5, 0.2, 0.1 and twenty of 0.01; of 8 entries: 0.2 > 0.5 / 7, 0.1 > 0.3 / 6, 0.01 <= 0.2 / 5, so three are certain
// and five are drawn from slices of 0.04: of four tokens each.
TEST(CompactRow, LikelyTokensAreCertainAndEachSliceGivesOne) {
  std::vector<double> p(23, 0.01);
  p[4] = 0.2, p[10] = 0.5, p[22] = 0.1;
  for (uint64_t seed = 0; seed < 50; ++seed) {
    const CompactRow row = compact_row(logits_of(p), 3, 8, Rng(seed, 0));
    EXPECT_EQ(row.top, 10);
    EXPECT_THAT(tokens_of(row.certain), ElementsAre(4, 10, 22));
    EXPECT_NEAR(row.certain[0].log_p, std::log(0.2), 1e-6);
    EXPECT_NEAR(row.log_tail, std::log(0.2), 1e-6);
    EXPECT_NEAR(row.log_target, std::log(0.01), 1e-6);
    ASSERT_EQ(row.drawn.size(), 5u);
    for (size_t j = 0; j < 5; ++j) {
      const int32_t token = row.drawn[j].token;
      const int32_t rank = token - (token > 4) - (token > 10);  // among the twenty
      EXPECT_EQ(rank / 4, static_cast<int32_t>(j)) << token;
      EXPECT_NEAR(row.drawn[j].log_p, std::log(0.01), 1e-6);
    }
  }
}

// 12 entries, m draws: a tail token is drawn m p / P times on average; counts are binomial at worst, so five standard
// deviations of 3000 trials are allowed.
TEST(CompactRow, TailTokensAreDrawnByTheirProbability) {
  const std::vector<float> logits = normal_row(40, 1.0, 5);
  const std::vector<long double> log_p = testing::slow_log_softmax(logits);
  std::map<int32_t, int> counts;
  CompactRow row;
  for (uint64_t seed = 0; seed < 3000; ++seed) {
    row = compact_row(logits, 0, 12, Rng(seed, 1));
    for (const CompactRow::Entry& entry : row.drawn) ++counts[entry.token];
  }
  const std::vector<int32_t> certain = tokens_of(row.certain);
  for (int32_t v = 0; v < 40; ++v) {
    if (std::count(certain.begin(), certain.end(), v) > 0) {
      EXPECT_EQ(counts[v], 0);
      continue;
    }
    const double share = static_cast<double>(std::exp(log_p[static_cast<size_t>(v)] - row.log_tail));
    const double expected = 3000 * share * static_cast<double>(row.drawn.size());
    EXPECT_NEAR(counts[v], expected, 5 * std::sqrt(expected)) << v;
  }
}

TEST(CompactRow, SmallVocabulariesAreExact) {
  for (const double noise : {0.01, 1.0, 10.0}) {
    const std::vector<float> p = normal_row(50, 3, 1), q = near_row(p, noise);
    const RowDivergence out = compact_divergence(compact_row(p, 7, 50, Rng(1, 1)), q, 7);
    long double absolute = 0;
    const auto expected = static_cast<double>(testing::slow_kl(p, q, &absolute));
    // log p as fp32 below 32: off by 2^-20 at most.
    EXPECT_NEAR(out.kl, expected, static_cast<double>(absolute) * 0x1p-20);
    EXPECT_EQ(out.kl, out.kl_certain);
    EXPECT_EQ(out.variance, 0);
  }
}

// Near, usual and far models: the mean over 4000 sketches is the KL to five standard errors, the certain part is never
// above it, and the variance is not understated. The mean of 4000 squares has a relative error of a few per cent for
// values as skewed as these, so a tenth is allowed.
TEST(CompactRow, EstimateIsUnbiasedAndItsErrorNotUnderstated) {
  for (const double noise : {0.02, 0.5, 3.0}) {
    const std::vector<float> p = normal_row(400, 2.5, 3), q = near_row(p, noise);
    const auto kl = static_cast<double>(testing::slow_kl(p, q));
    const int trials = 4000;
    double sum = 0, square = 0, stated = 0;
    for (int i = 0; i < trials; ++i) {
      const RowDivergence out = compact_divergence(compact_row(p, 0, 24, Rng(static_cast<uint64_t>(i), 2)), q, 0);
      EXPECT_LE(out.kl_certain, kl);
      sum += out.kl / trials, square += (out.kl - kl) * (out.kl - kl) / trials, stated += out.variance / trials;
    }
    EXPECT_NEAR(sum, kl, 5 * std::sqrt(square / trials)) << noise;
    EXPECT_GT(stated, 0.9 * square) << noise;
    EXPECT_LT(stated, 2 * square) << noise;
    EXPECT_LT(std::sqrt(square), 0.5 * kl) << noise;  // a sketch of 24 of 400 tokens knows the KL of this one row
  }
}

// log p as fp32 below 16 in size is off by e <= 2^-21, h(e) = e^2 / 2 <= 2^-43; sums round to about 400 * 2^-53.
TEST(CompactRow, OfAModelFromItselfItIsZeroToRounding) {
  for (const double spread : {0.0, 1.0, 3.0}) {
    const std::vector<float> p = normal_row(400, spread, 4);
    const RowDivergence out = compact_divergence(compact_row(p, 0, 24, Rng(1, 3)), p, 0);
    EXPECT_NEAR(out.kl, 0, 0x1p-42);
    EXPECT_LE(out.variance, 0x1p-80);
    EXPECT_TRUE(out.same_top);
  }
}

TEST(CompactRow, WhatIsExactStaysExact) {
  const std::vector<float> p = normal_row(400, 2, 6), q = near_row(p, 1);
  const RowDivergence exact = row_divergence(p, q, 123);
  const RowDivergence out = compact_divergence(compact_row(p, 123, 24, Rng(1, 4)), q, 123);
  EXPECT_EQ(out.same_top, exact.same_top);
  EXPECT_NEAR(out.nll_q, exact.nll_q, 1e-12);
  EXPECT_NEAR(out.nll_p, exact.nll_p, exact.nll_p * 0x1p-24);
  for (size_t i = 0; i < out.p.size(); ++i) {
    EXPECT_EQ(out.p[i].token, exact.p[i].token);
    EXPECT_EQ(out.q[i].token, exact.q[i].token);
    EXPECT_NEAR(out.p[i].log_p, exact.p[i].log_p, 1e-6);
    EXPECT_NEAR(out.q[i].log_p, exact.q[i].log_p, 1e-6);
  }
}

TEST(CompactRow, TheLowestOfEqualTokensIsTheTop) {
  std::vector<float> p(100, 0.0f);
  p[40] = p[60] = 2.0f;
  const CompactRow row = compact_row(p, 0, 10, Rng(1, 5));
  EXPECT_EQ(row.top, 40);
  const RowDivergence out = compact_divergence(row, p, 0);
  EXPECT_EQ(out.p[0].token, 40);
  EXPECT_EQ(out.p[1].token, 60);
  EXPECT_TRUE(out.same_top);
}

// A tail that no double can hold, on either side.
TEST(CompactRow, ProbabilitiesThatVanishAreZero) {
  std::vector<float> p(100, -1e30f), q(100, 0.0f);
  p[3] = 1, p[4] = 0;
  const CompactRow row = compact_row(p, 3, 8, Rng(1, 6));
  EXPECT_TRUE(row.drawn.empty());
  const RowDivergence forward = compact_divergence(row, q, 3);
  EXPECT_NEAR(forward.kl, static_cast<double>(testing::slow_kl(p, q)), 1e-6);
  const RowDivergence backward = compact_divergence(compact_row(q, 3, 8, Rng(1, 7)), p, 3);
  EXPECT_NEAR(backward.kl / static_cast<double>(testing::slow_kl(q, p)), 1, 0.2);
  EXPECT_NEAR(compact_divergence(row, p, 3).kl, 0, 1e-15);
}

}  // namespace
}  // namespace bitloom
