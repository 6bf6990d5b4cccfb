#include "format/side/block_rotation.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <map>

#include "base/test_data.h"

namespace bitloom {
namespace {

using ::testing::ElementsAre;

/// Q [n, n] row-major: its columns are those of unit vectors.
std::vector<float> dense(const BlockRotation& q) {
  const int64_t n = q.size();
  std::vector<float> unit(static_cast<size_t>(n * n));
  for (int64_t i = 0; i < n; ++i) unit[static_cast<size_t>(i * n + i)] = 1;
  q.rotate(unit.data(), 0, n, n);
  return unit;
}

// Every entry is +-1/sqrt(b) rounded once, since only one term of its sum is not zero: b squares are wrong by 2^-23.
TEST(BlockRotation, IsOrthogonal) {
  for (const int64_t n : {1, 2, 8, 24, 64, 96, 7}) {
    const BlockRotation q(n, 32, 3, 4);
    const std::vector<float> m = dense(q);
    for (int64_t a = 0; a < n; ++a) {
      for (int64_t b = 0; b < n; ++b) {
        double dot = 0;
        for (int64_t i = 0; i < n; ++i) {
          dot += static_cast<double>(m[static_cast<size_t>(a * n + i)]) * m[static_cast<size_t>(b * n + i)];
        }
        ASSERT_NEAR(dot, a == b ? 1.0 : 0.0, 0x1p-22) << n << ": " << a << " " << b;
        const bool same = a / q.block() == b / q.block();
        ASSERT_NEAR(std::abs(m[static_cast<size_t>(a * n + b)]), same ? 1 / std::sqrt(q.block()) : 0, 1e-7) << n;
      }
    }
  }
}

TEST(BlockRotation, BlocksAreTheLargestThatDivide) {
  const std::map<int64_t, int64_t> blocks = {{11008, 256}, {14336, 512}, {5120, 512}, {896, 128}, {7, 1}, {0, 1}};
  for (const auto& [n, block] : blocks) EXPECT_EQ(BlockRotation(n, 512, 0, 0).block(), block) << n;
  EXPECT_EQ(BlockRotation(14336, 4096, 0, 0).block(), 2048);
}

// The vector of papers/beyond.md, 2.2: signs (1, -1, 1, 1) of x = (1, 2, 3, 4) give (3, 1, -4, 2).
TEST(BlockRotation, HandVector) {
  const BlockRotation q(4, 4, 1, 2);
  const std::vector<float> m = dense(q);  // row 0 has the signs, over 2
  std::vector<float> x = {1, -2, 3, 4};
  for (size_t i = 0; i < 4; ++i) x[i] *= 2 * m[i];
  q.rotate(x.data(), 0, 4, 1);
  EXPECT_THAT(x, ElementsAre(3, 1, -4, 2));
}

// Each way log2(b) + 1 roundings of sums no larger than sqrt(b) max |x|.
TEST(BlockRotation, TheTransposeTurnsBack) {
  for (const int64_t n : {16, 48, 512}) {
    const BlockRotation q(n, 512, 7, 1);
    constexpr int64_t kWidth = 3;
    std::vector<float> x(static_cast<size_t>(n * kWidth));
    for (size_t i = 0; i < x.size(); ++i) x[i] = std::sin(static_cast<float>(i));
    std::vector<float> there = x;
    q.rotate(there.data(), 0, n, kWidth);
    EXPECT_NE(there, x);
    std::vector<float> back = there;
    q.rotate_back(back.data(), 0, n, kWidth);
    const double b = static_cast<double>(q.block());
    for (size_t i = 0; i < x.size(); ++i) ASSERT_NEAR(back[i], x[i], 2 * (std::log2(b) + 3) * 0x1p-24 * b) << n;

    // Blocks alone are the same as all.
    std::vector<float> some(x.begin() + (n - q.block()) * kWidth, x.end());
    q.rotate(some.data(), n - q.block(), n, kWidth);
    EXPECT_EQ(some, std::vector<float>(there.begin() + (n - q.block()) * kWidth, there.end()));
  }
}

// Of a Hadamard matrix entries are +-1/sqrt(n) rounded once, of a random one M's rounded, times a rounded scale.
TEST(BlockRotation, AWholeWidthIsOneBlock) {
  for (const int64_t n : {1, 6, 7, 16, 40, 50, 144, 576}) {
    const BlockRotation q(n, kWholeWidth, 3, 4);
    EXPECT_EQ(q.block(), n);
    const std::vector<float> m = dense(q);
    for (int64_t a = 0; a < n; ++a) {
      for (int64_t b = a; b < n; ++b) {
        double dot = 0;
        for (int64_t i = 0; i < n; ++i) {
          dot += static_cast<double>(m[static_cast<size_t>(a * n + i)]) * m[static_cast<size_t>(b * n + i)];
        }
        ASSERT_NEAR(dot, a == b ? 1.0 : 0.0, 0x1p-22) << n << ": " << a << " " << b;
      }
    }
    std::vector<float> x(static_cast<size_t>(2 * n));
    for (size_t i = 0; i < x.size(); ++i) x[i] = std::sin(static_cast<float>(i));
    std::vector<float> back = x;
    q.rotate(back.data(), 0, n, 2);
    q.rotate_back(back.data(), 0, n, 2);
    // Each way up to log2(n) + 36 + 1 roundings of sums of magnitudes, no larger than sqrt(n).
    for (size_t i = 0; i < x.size(); ++i) {
      ASSERT_NEAR(back[i], x[i], 2 * (std::log2(n) + 37) * 0x1p-24 * std::sqrt(n)) << n;
    }
  }
  // Of a power of two it is the same as one block.
  EXPECT_EQ(dense({64, kWholeWidth, 3, 4}), dense({64, 64, 3, 4}));
  EXPECT_EQ(testing::message_of(ErrorKind::kUsage, [] { check_whole_width("w", 2 * 1223); }),
            "w: a rotation of all its 2446 channels would take a random orthogonal matrix of 1223, more than 1024, as no "
            "Hadamard matrix is known; use blocks of a power of two");
}

TEST(BlockRotation, DependsOnSeedAndStream) {
  const std::vector<float> m = dense({32, 16, 1, 2});
  EXPECT_EQ(dense({32, 16, 1, 2}), m);
  EXPECT_NE(dense({32, 16, 2, 2}), m);
  EXPECT_NE(dense({32, 16, 1, 3}), m);
}

}  // namespace
}  // namespace bitloom
