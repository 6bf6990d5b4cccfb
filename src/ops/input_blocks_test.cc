#include "ops/input_blocks.h"

#include <gtest/gtest.h>

#include <vector>

namespace bitloom {
namespace {

TEST(InputBlocks, EveryFormIsOfTheInputThatWasBegun) {
  std::vector<float> x(2 * 70, 1.0f);
  InputBlocks blocks;
  blocks.begin(x.data(), 2, 70);
  for (const DotInput input : {DotInput::kInt8, DotInput::kInt24}) {
    for (const InputOrder order :
         {InputOrder::kNatural, InputOrder::kNibbles, InputOrder::kSixteens, InputOrder::kStrides}) {
      const RoundedInput& rounded = blocks.rounded(input, order);
      EXPECT_EQ(rounded.stride, 256);
      EXPECT_EQ(rounded.digits[0], 127) << "the greatest of its block";
      EXPECT_NEAR(blocks.group_sums(input, order, 64, 0)[3], 6.0f, 1e-5f);
    }
  }
  std::vector<float> other(40, -1.0f);
  blocks.begin(other.data(), 1, 40);
  EXPECT_EQ(blocks.rounded(DotInput::kInt24, InputOrder::kNatural).digits[0], -127);
  EXPECT_NEAR(blocks.group_sums(DotInput::kInt24, InputOrder::kNatural, 64, 0)[0], -40.0f, 1e-4f);
  EXPECT_NEAR(blocks.group_sums(DotInput::kInt24, InputOrder::kNatural, 32, 1)[1], -8.0f, 1e-5f);
}

}  // namespace
}  // namespace bitloom
