#include "transform/rotation/hadamard.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <map>

#include "transform/rotation/random_rotation.h"
#include "transform/rotation/test_rotation.h"

namespace bitloom {
namespace {

using testing::dense;
using ::testing::ElementsAre;

// H H^T = n I in integers.
void expect_hadamard(const std::vector<int8_t>& h, int64_t n) {
  ASSERT_EQ(static_cast<int64_t>(h.size()), n * n);
  for (const int8_t value : h) ASSERT_EQ(std::abs(value), 1);
  for (int64_t a = 0; a < n; ++a) {
    for (int64_t b = a; b < n; ++b) {
      int64_t dot = 0;
      for (int64_t i = 0; i < n; ++i) dot += h[static_cast<size_t>(a * n + i)] * h[static_cast<size_t>(b * n + i)];
      ASSERT_EQ(dot, a == b ? n : 0) << "order " << n << ", rows " << a << " and " << b;
    }
  }
}

TEST(Hadamard, PaleysMatricesAreHadamard) {
  int made = 0;
  for (int64_t order = 1; order <= 200; ++order) {
    const auto h = paley_hadamard(order);
    if (!h) continue;
    EXPECT_TRUE(order == 1 || order % 4 == 0);
    expect_hadamard(*h, order);
    ++made;
  }
  EXPECT_GT(made, 30);
}

TEST(Hadamard, FieldsOfPrimePowersServeToo) {
  for (const int64_t order : {10 * 2, 28, 52, 244, 344}) {  // fields of 19 (or 9), 27, 25, 243 and 343 elements
    const auto h = paley_hadamard(order);
    ASSERT_TRUE(h.has_value()) << order;
    expect_hadamard(*h, order);
  }
  EXPECT_FALSE(paley_hadamard(172).has_value());  // known, but not by Paley
  EXPECT_FALSE(paley_hadamard(92).has_value());
  EXPECT_FALSE(paley_hadamard(6).has_value());
}

TEST(Hadamard, QuadraticCharacter) {
  EXPECT_THAT(quadratic_character(7), ElementsAre(0, 1, 1, -1, 1, -1, -1));
  EXPECT_THAT(quadratic_character(15), ElementsAre());
  EXPECT_THAT(quadratic_character(8), ElementsAre());
  // Nine elements a + b x with index a + 3 b, modulo x^2 + 1: the squares are 1, 2, and (1 + x)^2 = 2x, (1 + 2x)^2 = x.
  EXPECT_THAT(quadratic_character(9), ElementsAre(0, 1, 1, 1, -1, -1, 1, -1, -1));
}

TEST(Hadamard, EveryMultipleOfFourBelow92HasAMatrix) {
  for (int64_t n = 4; n < 92; n += 4) EXPECT_TRUE(hadamard_core(n).has_value()) << n;
  EXPECT_TRUE(hadamard_core(1).has_value() && hadamard_core(2).has_value());
  EXPECT_FALSE(hadamard_core(92).has_value());
  EXPECT_FALSE(hadamard_core(3).has_value());
}

TEST(Hadamard, WidthsOfPractice) {
  const std::map<int64_t, int64_t> cores = {
      {576, 36},  {896, 28},  {960, 60},    {1152, 36},  {1536, 12},  {2048, 1},  {2304, 36}, {2560, 20}, {2880, 180},
      {3072, 12}, {3584, 28}, {3840, 60},   {4096, 1},   {5120, 20},  {5376, 84}, {6144, 12}, {6656, 52}, {7168, 28},
      {8192, 1},  {9216, 36}, {11008, 344}, {12288, 12}, {14336, 28}, {16384, 1}, {28672, 28}};
  for (const auto& [n, core] : cores) EXPECT_EQ(hadamard_core(n), core) << n;
}

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
