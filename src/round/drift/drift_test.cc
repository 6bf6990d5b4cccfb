#include "round/drift/drift.h"

#include <gtest/gtest.h>

#include "base/rng.h"

namespace bitloom {
namespace {

constexpr Needs kNeeds{.second_moment = true, .cross_moment = true, .halves = true};

/// Of tokens f, as the float model has them, and x, of which the first `half` are held against the others; 0: none are.
InputStatistics seen(const std::vector<float>& f, const std::vector<float>& x, int64_t n, int64_t half = 0) {
  ThreadPool threads(1);
  InputStatistics inputs(n, kNeeds);
  const auto tokens = static_cast<int64_t>(x.size()) / n;
  inputs.add(f.data(), x.data(), tokens, threads, 0, half);
  return inputs;
}

/// W corrected by all of these tokens.
std::vector<float> corrected(std::vector<float> w, const std::vector<float>& f, const std::vector<float>& x, int64_t n,
                             double beta, int thread_count = 1) {
  ThreadPool threads(thread_count);
  EXPECT_EQ(correct_for_drift(make_drift(seen(f, x, n), 0, threads), beta, n, w, threads), 1);
  return w;
}

double held_share_of(const std::vector<float>& f, const std::vector<float>& x, int64_t n, int64_t half,
                     const std::vector<float>& w) {
  ThreadPool threads(2);
  return held_share(make_drift(seen(f, x, n, half), 0, threads), w, n, threads);
}

// The page's vector: W = (1 1), X = I, X~ = diag(.5, 1).
TEST(Drift, TargetOfThePage) {
  const std::vector<float> f = {1, 0, 0, 1}, x = {0.5f, 0, 0, 1};
  const std::vector<float> exact = corrected({1, 1}, f, x, 2, 1), half = corrected({1, 1}, f, x, 2, 0.5);
  EXPECT_NEAR(exact[0], 2, 1e-6);
  EXPECT_NEAR(exact[1], 1, 1e-6);
  EXPECT_NEAR(half[0], 1.5, 1e-6);
  EXPECT_NEAR(half[1], 1, 1e-6);
}

// Inputs that an invertible map A moved, x = A f: the corrected matrix undoes it, W* = W A^-1.
TEST(Drift, UndoesALinearMap) {
  constexpr int64_t kChannels = 70, kTokens = 400;
  Rng rng(3, 1);
  std::vector<float> f(kTokens * kChannels), x = f, w(3 * kChannels), moved(w.size());
  for (float& value : f) value = static_cast<float>(rng.normal());
  for (float& value : w) value = static_cast<float>(rng.normal());
  // A = I with .3 above the diagonal:  W* A = W.
  for (size_t i = 0; i < x.size(); ++i) x[i] = f[i] + (i % kChannels + 1 < kChannels ? 0.3f * f[i + 1] : 0);
  const std::vector<float> exact = corrected(w, f, x, kChannels, 1);
  for (size_t i = 0; i < w.size(); ++i) {
    const float made = exact[i] + (i % kChannels > 0 ? 0.3f * exact[i - 1] : 0);
    EXPECT_NEAR(made, w[i], 1e-3) << i;  // fp32 factors of a matrix with a condition of some tens
  }
  EXPECT_EQ(exact, corrected(w, f, x, kChannels, 1, 3));
}

TEST(Drift, WithoutDriftNothingChanges) {
  const std::vector<float> x = {1, 2, 2, -1, 0.5f, 3};
  EXPECT_EQ(corrected({1, -2}, x, x, 2, 1), (std::vector<float>{1, -2}));
}

// One channel, two tokens a half of size 1: M_A = 1 and M_B = 0.5 are means of f - x, so the halves' gain is
// K = 2 * 1 * 0.5 and their weight L = 1 + 0.25, c_half = 0.8, c = 2 * 0.8 / 1.8.
TEST(Drift, TheShareThatHoldsByHand) {
  const std::vector<float> x = {1, -1, 1, -1}, f = {2, -2, 1.5f, -1.5f};
  EXPECT_NEAR(held_share_of(f, x, 1, 2, {3}), 1.6 / 1.8, 1e-6);
  EXPECT_EQ(held_share_of({2, -2, 0, 0}, x, 1, 2, {3}), 0);  // the halves contradict each other
  EXPECT_NEAR(held_share_of({2, -2, 2, -2}, x, 1, 2, {3}), 1, 1e-6);
}

/// f = x + slope x + noise, everything normal.
struct Noisy {
  std::vector<float> f, x;
};
Noisy noisy(int64_t tokens, int64_t n, double slope, double noise, uint64_t stream) {
  Rng rng(7, stream);
  Noisy data{std::vector<float>(static_cast<size_t>(tokens * n)), {}};
  data.x.resize(data.f.size());
  for (size_t i = 0; i < data.x.size(); ++i) {
    const double value = rng.normal();
    data.x[i] = static_cast<float>(value);
    data.f[i] = static_cast<float>(value * (1 + slope) + noise * rng.normal());
  }
  return data;
}

// What all tokens say, shrunk to the share that holds, is nearly the best multiple of it for other tokens. These have
// M = slope I, so for w = I the best is slope tr(M_hat) / tr(M_hat M_hat^T).
TEST(Drift, TheShareIsNearTheBestForOtherTokens) {
  constexpr int64_t kChannels = 24;
  std::vector<float> w(kChannels * kChannels);
  for (size_t i = 0; i < kChannels; ++i) w[i * (kChannels + 1)] = 1;
  ThreadPool threads(1);
  for (const double slope : {0.1, 0.2}) {
    for (const int64_t tokens : {100, 400}) {
      double share = 0, best = 0;
      constexpr int kDraws = 20;
      for (uint64_t draw = 0; draw < kDraws; ++draw) {
        const Noisy data = noisy(tokens, kChannels, slope, 0.5, draw);
        const Drift drift = make_drift(seen(data.f, data.x, kChannels, tokens / 2), 0, threads);
        double trace = 0, squares = 0;
        for (size_t i = 0; i < drift.matrix.size(); ++i) {
          trace += i % (kChannels + 1) == 0 ? static_cast<double>(drift.matrix[i]) : 0;
          squares += static_cast<double>(drift.matrix[i]) * static_cast<double>(drift.matrix[i]);
        }
        share += held_share(drift, w, kChannels, threads) / kDraws;
        best += slope * trace / squares / kDraws;
      }
      EXPECT_GT(best, 0.05) << slope << ' ' << tokens;
      EXPECT_LT(best, 0.95) << slope << ' ' << tokens;
      EXPECT_NEAR(share, best, 0.1) << slope << ' ' << tokens;
    }
  }
}

}  // namespace
}  // namespace bitloom
