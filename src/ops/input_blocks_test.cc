#include "ops/input_blocks.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace bitloom {
namespace {

TEST(InputBlocks, EveryValueIsWithinHalfAStep) {
  constexpr int64_t kTokens = 2, kCols = 70;
  std::vector<float> x;
  for (int64_t i = 0; i < kTokens * kCols; ++i)
    x.push_back(std::sin(static_cast<float>(i * i)) * static_cast<float>(i));
  InputBlocks blocks;
  blocks.round(x.data(), kTokens, kCols);
  ASSERT_EQ(blocks.stride(), 96);
  for (int64_t t = 0; t < kTokens; ++t) {
    for (int64_t c = 0; c < 96; ++c) {
      const float scale = blocks.scales()[t * 3 + c / 32], value = blocks.values()[t * 96 + c];
      if (c >= kCols) {
        EXPECT_EQ(value, 0);
      } else {
        // Half a step, and four roundings of numbers of up to 127 steps.
        EXPECT_NEAR(scale * value, x[static_cast<size_t>(t * kCols + c)], scale * (0.5 + 4 * 127 * 0x1p-24));
      }
    }
  }
}

TEST(InputBlocks, ZerosStayZerosAndWhatIsNotFiniteIsSeen) {
  std::vector<float> x(96, 0.0f);
  x[40] = std::numeric_limits<float>::infinity(), x[64] = std::nanf("");
  InputBlocks blocks;
  blocks.round(x.data(), 1, 96);
  EXPECT_EQ(blocks.scales()[0], 0.0f);
  EXPECT_TRUE(std::isnan(blocks.scales()[1]));
  EXPECT_TRUE(std::isnan(blocks.scales()[2]));
}

}  // namespace
}  // namespace bitloom
