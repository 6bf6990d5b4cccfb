#include "kernels/int_dot/round_input.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "kernels/int_dot/reference.h"

namespace bitloom {
namespace {

struct Rounded {
  Rounded(const std::vector<float>& x, DotInput input, InputOrder order, float scale = 0) {
    const auto cols = static_cast<int64_t>(x.size());
    const int64_t stride = (cols + kInputPadding - 1) / kInputPadding * kInputPadding;
    const int64_t lanes = stride / lane_columns(order), planes = input == DotInput::kInt8 ? 1 : 3;
    digits.resize(static_cast<size_t>(planes * stride));
    scales.resize(static_cast<size_t>(lanes)), high.resize(scales.size()), rest.resize(scales.size());
    round_input(x.data(), cols, input, order, {digits.data(), scales.data(), high.data(), rest.data(), stride}, scale);
    view = {digits.data(), scales.data(), high.data(), planes == 3 ? rest.data() : nullptr, stride};
  }
  std::vector<int8_t> digits;
  std::vector<float> scales;
  std::vector<int32_t> high, rest;
  RoundedInput view;
};

class RoundInput : public ::testing::TestWithParam<std::tuple<DotInput, InputOrder>> {};

TEST_P(RoundInput, EveryValueIsWithinItsStepAndGroupsAddUp) {
  const auto [input, order] = GetParam();
  std::vector<float> x;
  for (int i = 0; i < 203; ++i) x.push_back(std::sin(static_cast<float>(i * i)) * static_cast<float>(i % 40));
  const Rounded rounded(x, input, order);
  ASSERT_EQ(rounded.view.stride, 256);
  // Half a step and four roundings of numbers of up to 127 steps; or a step and a half.
  const double steps = input == DotInput::kInt8 ? 0.5 + 4 * 127 * 0x1p-24 : 1.5;
  for (int64_t c = 0; c < 256; ++c) {
    const double value = rounded_value(rounded.view, input, order, 0, c);
    const double want = c < 203 ? x[static_cast<size_t>(c)] : 0,
                 scale = rounded.scales[static_cast<size_t>(c / lane_columns(order))];
    EXPECT_NEAR(value, want, scale * steps) << c;
  }
  for (const int64_t group : {16, 64, 203}) {
    std::vector<float> sums(static_cast<size_t>((203 + group - 1) / group));
    sum_groups(rounded.view, order, 0, 203, group, sums.data());
    for (int64_t g = 0; g < static_cast<int64_t>(sums.size()); ++g) {
      double want = 0, magnitude = 0;
      for (int64_t c = g * group; c < std::min<int64_t>(203, (g + 1) * group); ++c) {
        const double value = rounded_value(rounded.view, input, order, 0, c);
        want += value, magnitude += std::abs(value);
      }
      EXPECT_NEAR(sums[static_cast<size_t>(g)], want, 210 * 0x1p-24 * magnitude) << group;
    }
  }
}

TEST_P(RoundInput, ZerosStayZerosAndWhatIsNotFiniteIsSeen) {
  const auto [input, order] = GetParam();
  std::vector<float> x(96, 0.0f);
  x[40] = std::numeric_limits<float>::infinity(), x[64] = std::nanf("");
  const Rounded rounded(x, input, order);
  EXPECT_EQ(rounded_value(rounded.view, input, order, 0, 3), 0.0);
  EXPECT_TRUE(std::isnan(rounded_value(rounded.view, input, order, 0, 33)));
  EXPECT_TRUE(std::isnan(rounded_value(rounded.view, input, order, 0, 90)));
}

INSTANTIATE_TEST_SUITE_P(All, RoundInput,
                         ::testing::Combine(::testing::Values(DotInput::kInt8, DotInput::kInt24),
                                            ::testing::Values(InputOrder::kNatural, InputOrder::kNibbles,
                                                              InputOrder::kSixteens, InputOrder::kStrides)));

// x = q s in fp32, s any number: q comes back, whatever else its block holds.
TEST(RoundInputByAScale, MultiplesOfItAreExact) {
  for (const float scale : {0.37f, 1e-30f, 3.1e33f, 0x1p-126f}) {
    std::vector<float> x;
    for (int q = -127; q <= 127; ++q) x.push_back(static_cast<float>(q) * scale);
    for (const InputOrder order :
         {InputOrder::kNatural, InputOrder::kNibbles, InputOrder::kSixteens, InputOrder::kStrides}) {
      const Rounded rounded(x, DotInput::kInt8, order, scale);
      for (int64_t c = 0; c < 255; ++c) {
        const double exact = static_cast<double>(scale) * static_cast<double>(c - 127);
        EXPECT_EQ(rounded_value(rounded.view, DotInput::kInt8, order, 0, c), exact) << scale << " " << c;
      }
    }
    Int8Piece piece;
    round_piece_to_int8(x.data(), 255, piece, scale);
    for (int c = 0; c < 255; ++c) EXPECT_EQ(piece.digits[c], c - 127);
    EXPECT_EQ(piece.scales[3], scale);
  }
  const Rounded lost({1, 2}, DotInput::kInt8, InputOrder::kNatural, std::numeric_limits<float>::quiet_NaN());
  EXPECT_TRUE(std::isnan(lost.scales[0]));
}

}  // namespace
}  // namespace bitloom
