#include "linalg/cholesky.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "base/rng.h"

namespace bitloom {
namespace {

/// X X^T / t + I / 100 for random X [n, t], t = 2n: well conditioned enough for fp32, far from diagonal.
std::vector<double> random_spd(int64_t n) {
  Rng rng(11, static_cast<uint64_t>(n));
  const int64_t t = 2 * n;
  std::vector<double> x(static_cast<size_t>(n * t)), h(static_cast<size_t>(n * n));
  for (int64_t i = 0; i < n; ++i) {
    for (int64_t k = 0; k < t; ++k) {
      const auto at = static_cast<size_t>(i * t + k);
      x[at] = rng.normal() + (i > 0 ? 0.7 * x[at - static_cast<size_t>(t)] : 0);
    }
  }
  for (int64_t i = 0; i < n; ++i) {
    for (int64_t j = 0; j < n; ++j) {
      double sum = i == j ? 0.01 * static_cast<double>(t) : 0;
      for (int64_t k = 0; k < t; ++k) sum += x[static_cast<size_t>(i * t + k)] * x[static_cast<size_t>(j * t + k)];
      h[static_cast<size_t>(i * n + j)] = sum / static_cast<double>(t);
    }
  }
  return h;
}

TEST(Cholesky, HandWorkedTwoByTwo) {
  // R = [[2, 1], [0, 3]]: R R^T = [[5, 3], [3, 9]]; R^-1 = [[1/2, -1/6], [0, 1/3]].
  std::vector<double> h = {5, 3, 3, 9};
  EXPECT_EQ(reversed_cholesky_reference(h.data(), 2), 2);
  EXPECT_EQ(h, (std::vector<double>{2, 1, 0, 3}));
  invert_upper_reference(h.data(), 2);
  EXPECT_DOUBLE_EQ(h[0], 0.5);
  EXPECT_DOUBLE_EQ(h[1], -1.0 / 6);
  EXPECT_DOUBLE_EQ(h[3], 1.0 / 3);
}

// U^T U H = I in double to 1e-12 for the reference.
TEST(Cholesky, ReferenceInvertsToTwelveDigits) {
  constexpr int64_t kN = 40;
  const std::vector<double> h = random_spd(kN);
  std::vector<double> u = h;
  ASSERT_EQ(reversed_cholesky_reference(u.data(), kN), kN);
  invert_upper_reference(u.data(), kN);
  for (int64_t i = 0; i < kN; ++i) {
    for (int64_t j = 0; j < kN; ++j) {
      double product = 0;
      for (int64_t k = 0; k < kN; ++k) {
        double inverse = 0;
        for (int64_t m = 0; m <= std::min(i, k); ++m) {
          inverse += u[static_cast<size_t>(m * kN + i)] * u[static_cast<size_t>(m * kN + k)];
        }
        product += inverse * h[static_cast<size_t>(k * kN + j)];
      }
      EXPECT_NEAR(product, i == j ? 1.0 : 0.0, 1e-12);
    }
  }
}

// A backward stable factorization in precision eps has an error of at most about n eps cond(H) in U, relative to |U|;
// the matrices here have cond(H) < 1e4 (diagonal 1/100 against eigenvalues below 100), so n eps cond < 0.04 for n = 300
// at the worst; what is typical is sqrt(n) less. 1e-3 of the largest entry would still show any wrong block.
TEST(Cholesky, BlockedEqualsTheReferenceAcrossBlockEdges) {
  ThreadPool threads(2);
  for (const int64_t n : {1, 5, 127, 128, 129, 300}) {
    std::vector<double> reference = random_spd(n);
    std::vector<float> fast(reference.begin(), reference.end());
    ASSERT_EQ(reversed_cholesky_reference(reference.data(), n), n);
    ASSERT_EQ(reversed_cholesky(fast.data(), n, threads), n);
    const auto expect_near = [&] {
      double largest = 0;
      for (const double value : reference) largest = std::max(largest, std::abs(value));
      for (size_t i = 0; i < fast.size(); ++i) ASSERT_NEAR(fast[i], reference[i], 1e-3 * largest) << n << " " << i;
    };
    expect_near();
    invert_upper_reference(reference.data(), n);
    invert_upper(fast.data(), n, threads);
    expect_near();
  }
}

/// Lower Cholesky factor, by rows, in double.
std::vector<double> ordinary_cholesky(std::vector<double> a, size_t n) {
  for (size_t i = 0; i < n; ++i) {
    for (size_t j = 0; j <= i; ++j) {
      double sum = a[i * n + j];
      for (size_t k = 0; k < j; ++k) sum -= a[i * n + k] * a[j * n + k];
      a[i * n + j] = i == j ? std::sqrt(sum) : sum / a[j * n + j];
    }
    std::fill(a.begin() + static_cast<int64_t>(i * n + i + 1), a.begin() + static_cast<int64_t>((i + 1) * n), 0.0);
  }
  return a;
}

// What the published program does: H = L L^T, H^-1 = L^-T L^-1, and of that the upper Cholesky factor U. In double both
// ways agree to n eps cond(H) = 60 * 1e-16 * 1e4 < 1e-10 of the largest entry.
TEST(Cholesky, EqualsFactorInverseFactor) {
  constexpr size_t kN = 60;
  const std::vector<double> h = random_spd(kN), lower = ordinary_cholesky(h, kN);
  std::vector<double> inverse(kN * kN), whole(kN * kN);  // L^-1 by forward substitution; H^-1
  for (size_t c = 0; c < kN; ++c) {
    for (size_t i = c; i < kN; ++i) {
      double sum = i == c ? 1.0 : 0.0;
      for (size_t k = c; k < i; ++k) sum -= lower[i * kN + k] * inverse[k * kN + c];
      inverse[i * kN + c] = sum / lower[i * kN + i];
    }
  }
  for (size_t i = 0; i < kN; ++i) {
    for (size_t j = 0; j < kN; ++j) {
      for (size_t k = 0; k < kN; ++k) whole[i * kN + j] += inverse[k * kN + i] * inverse[k * kN + j];
    }
  }
  const std::vector<double> expected = ordinary_cholesky(whole, kN);  // H^-1 = L' L'^T, U = L'^T
  std::vector<double> u = h;
  ASSERT_EQ(reversed_cholesky_reference(u.data(), kN), int64_t{kN});
  invert_upper_reference(u.data(), kN);
  const double largest = *std::max_element(u.begin(), u.end());
  for (size_t i = 0; i < kN; ++i) {
    for (size_t j = 0; j < kN; ++j) EXPECT_NEAR(u[i * kN + j], expected[j * kN + i], 1e-10 * largest);
  }
}

TEST(Cholesky, NamesTheFirstBadPivot) {
  ThreadPool threads(1);
  constexpr int64_t kN = 200;
  const std::vector<double> h = random_spd(kN);
  for (const int64_t bad : {0, 130, 199}) {
    std::vector<float> broken(h.begin(), h.end());
    broken[static_cast<size_t>(bad * kN + bad)] = -1;
    EXPECT_EQ(reversed_cholesky(broken.data(), kN, threads), bad);
    broken.assign(h.begin(), h.end());
    broken[static_cast<size_t>(bad * kN + bad)] = NAN;
    EXPECT_EQ(reversed_cholesky(broken.data(), kN, threads), bad);
  }
}

TEST(Cholesky, SameBytesForAnyNumberOfThreads) {
  constexpr int64_t kN = 600;
  const std::vector<double> h = random_spd(kN);
  std::vector<float> first;
  for (const int count : {1, 2, 3}) {
    ThreadPool threads(count);
    std::vector<float> u(h.begin(), h.end());
    ASSERT_EQ(reversed_cholesky(u.data(), kN, threads), kN);
    invert_upper(u.data(), kN, threads);
    if (first.empty()) first = u;
    EXPECT_EQ(std::memcmp(first.data(), u.data(), u.size() * sizeof(float)), 0) << count;
  }
}

}  // namespace
}  // namespace bitloom
