#include "round/drift/drift.h"

#include <gtest/gtest.h>

#include "base/rng.h"

namespace bitloom {
namespace {

/// W corrected by moments of tokens f, as the float model has them, and x.
std::vector<float> corrected(std::vector<float> w, const std::vector<float>& f, const std::vector<float>& x, int64_t n,
                             float beta, int thread_count = 1) {
  ThreadPool threads(thread_count);
  const auto tokens = static_cast<int64_t>(x.size()) / n;
  SecondMoment moment(n);
  moment.add(x.data(), tokens, n, threads);
  CrossMoment cross(n);
  cross.add(f.data(), x.data(), tokens, n, threads);
  correct_for_drift(make_drift(moment, cross, 0, threads), beta, n, w, threads);
  return w;
}

// The page's vector: W = (1 1), X = I, X~ = diag(.5, 1).
TEST(Drift, TargetOfThePage) {
  const std::vector<float> f = {1, 0, 0, 1}, x = {0.5f, 0, 0, 1};
  const std::vector<float> exact = corrected({1, 1}, f, x, 2, 1), half = corrected({1, 1}, f, x, 2, 0.5f);
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

}  // namespace
}  // namespace bitloom
