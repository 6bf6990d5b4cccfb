#include "base/hadamard/hadamard.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <map>

namespace bitloom {
namespace {

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

}  // namespace
}  // namespace bitloom
