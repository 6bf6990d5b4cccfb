#include "transform/rotation/random_rotation.h"

#include <gtest/gtest.h>

#include <cmath>

#include "transform/rotation/test_rotation.h"

namespace bitloom {
namespace {

using testing::dense;

// Rows of entries about 1/sqrt(n), each wrong by at most (k + m + 2) 2^-53 of it: their products of n terms are wrong
// by less than 4 n 2^-53.
void expect_orthogonal(const std::vector<double>& r, int64_t n) {
  for (int64_t a = 0; a < n; ++a) {
    for (int64_t b = a; b < n; ++b) {
      double dot = 0;
      for (int64_t i = 0; i < n; ++i) dot += r[static_cast<size_t>(a * n + i)] * r[static_cast<size_t>(b * n + i)];
      ASSERT_NEAR(dot, a == b ? 1.0 : 0.0, 4.0 * static_cast<double>(n) * 0x1p-53) << n << ": " << a << ", " << b;
    }
  }
}

TEST(RandomRotation, IsOrthogonal) {
  for (const int64_t n : {1, 2, 8, 12, 40, 64, 144}) {
    const RandomRotation rotation(n, 3, 4);
    EXPECT_TRUE(rotation.is_hadamard());
    const std::vector<double> r = dense(rotation);
    expect_orthogonal(r, n);
    // All entries alike: the most even spreading there is.
    for (const double value : r) ASSERT_NEAR(std::abs(value), 1 / std::sqrt(static_cast<double>(n)), 1e-15);
  }
  for (const int64_t n : {3, 6, 50, 172}) {
    const RandomRotation rotation(n, 3, 4);
    EXPECT_FALSE(rotation.is_hadamard());
    expect_orthogonal(dense(rotation), n);
  }
}

TEST(RandomRotation, ColumnsAreRotatedAlike) {
  for (const int64_t n : {24, 50}) {
    const RandomRotation rotation(n, 1, 0);
    constexpr int64_t kWidth = 5;
    std::vector<double> x(static_cast<size_t>(n * kWidth));
    for (size_t i = 0; i < x.size(); ++i) x[i] = std::sin(static_cast<double>(i));
    std::vector<double> together = x;
    rotation.apply(together.data(), kWidth);
    for (int64_t c = 0; c < kWidth; ++c) {
      std::vector<double> column;
      for (int64_t r = 0; r < n; ++r) column.push_back(x[static_cast<size_t>(r * kWidth + c)]);
      rotation.apply(column.data(), 1);
      for (int64_t r = 0; r < n; ++r) {
        EXPECT_NEAR(together[static_cast<size_t>(r * kWidth + c)], column[static_cast<size_t>(r)], 1e-14);
      }
    }
  }
}

TEST(RandomRotation, DependsOnSeedAndStream) {
  for (const int64_t n : {16, 6}) {
    const std::vector<double> r = dense(RandomRotation(n, 1, 2));
    EXPECT_EQ(dense(RandomRotation(n, 1, 2)), r);
    EXPECT_NE(dense(RandomRotation(n, 2, 2)), r);
    EXPECT_NE(dense(RandomRotation(n, 1, 3)), r);
  }
}

}  // namespace
}  // namespace bitloom
