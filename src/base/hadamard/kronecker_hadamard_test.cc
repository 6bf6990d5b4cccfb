#include "base/hadamard/kronecker_hadamard.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "base/hadamard/hadamard.h"

namespace bitloom {
namespace {

/// T / s [n, n] in fp64 by its definition, a Kronecker product of the two matrices.
std::vector<double> dense_of(int64_t n, uint64_t seed, uint64_t stream) {
  int64_t m = n;
  while (m % 2 == 0) m /= 2;
  std::vector<double> core;
  if (const auto known = hadamard_core(n)) {
    m = *known;
    const std::vector<int8_t> matrix = *paley_hadamard(m);
    core.assign(matrix.begin(), matrix.end());
  } else {
    core = random_orthogonal(m, seed, stream ^ (uint64_t{1} << 63));
  }
  std::vector<double> dense(static_cast<size_t>(n * n));
  for (int64_t r = 0; r < n; ++r) {
    for (int64_t c = 0; c < n; ++c) {
      const double sign = __builtin_popcountll(static_cast<uint64_t>(r / m & c / m)) % 2 == 0 ? 1 : -1;
      dense[static_cast<size_t>(r * n + c)] = sign * core[static_cast<size_t>(r % m * m + c % m)];
    }
  }
  return dense;
}

// 576 = 16 x 36 and 1536 = 128 x 12 by Paley; of 3, 6, 50 and 92 none is known: 1, 2, 2 and 4 times a random matrix.
// A sum of k + m terms is wrong by at most as many roundings of the sum of magnitudes.
template <typename Real>
void expect_kronecker_product(int64_t n, int64_t width, double epsilon) {
  const KroneckerHadamard<Real> fast(n, 5, 6);
  const std::vector<double> dense = dense_of(n, 5, 6);
  std::vector<Real> x(static_cast<size_t>(n * width));
  for (size_t i = 0; i < x.size(); ++i) x[i] = static_cast<Real>(std::sin(static_cast<double>(i * i % 1009)));
  std::vector<Real> there = x, transposed = x;
  fast.apply(there.data(), width);
  fast.apply_transposed(transposed.data(), width);
  const double roundings = std::log2(static_cast<double>(n)) + static_cast<double>(fast.core_size()) + 2;
  for (int64_t r = 0; r < n; ++r) {
    for (int64_t i = 0; i < width; ++i) {
      double sum = 0, sum_transposed = 0, magnitude = 0, magnitude_transposed = 0;
      for (int64_t c = 0; c < n; ++c) {
        const double value = x[static_cast<size_t>(c * width + i)];
        const double forth = dense[static_cast<size_t>(r * n + c)] * value;
        const double back = dense[static_cast<size_t>(c * n + r)] * value;
        sum += forth, magnitude += std::abs(forth);
        sum_transposed += back, magnitude_transposed += std::abs(back);
      }
      const auto at = static_cast<size_t>(r * width + i);
      ASSERT_NEAR(there[at], sum, roundings * epsilon * magnitude) << n;
      ASSERT_NEAR(transposed[at], sum_transposed, roundings * epsilon * magnitude_transposed) << n;
    }
  }
  // s^2 T^T T = I: each way sums of magnitudes up to sqrt(n) times what comes out.
  fast.apply_transposed(there.data(), width);
  const double factor = fast.scale() * fast.scale();
  for (size_t i = 0; i < x.size(); ++i) {
    ASSERT_NEAR(factor * there[i], x[i], 2 * roundings * epsilon * std::sqrt(static_cast<double>(n))) << n;
  }
}

TEST(KroneckerHadamard, EqualsTheDenseMatrix) {
  for (const int64_t n : {1, 3, 6, 12, 16, 20, 28, 36, 50, 92, 576, 1536}) {
    for (const int64_t width : {1, 2, 15}) {
      if (n > 576 && width > 2) continue;
      expect_kronecker_product<double>(n, width, 0x1p-53);
      expect_kronecker_product<float>(n, width, 0x1p-24);
    }
  }
}

TEST(KroneckerHadamard, SaysWhetherItIsAHadamardMatrix) {
  for (const int64_t n : {1, 2, 12, 576, 1536}) EXPECT_TRUE(KroneckerHadamard<float>(n, 0, 0).is_hadamard()) << n;
  for (const int64_t n : {3, 6, 50, 92}) EXPECT_FALSE(KroneckerHadamard<float>(n, 0, 0).is_hadamard()) << n;
  EXPECT_EQ(KroneckerHadamard<float>(576, 0, 0).core_size(), 36);
  EXPECT_EQ(KroneckerHadamard<float>(50, 0, 0).core_size(), 25);
}

}  // namespace
}  // namespace bitloom
