#include "model/tensor_slice.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <numeric>

namespace bitloom {
namespace {

using ::testing::ElementsAre;
using ::testing::ElementsAreArray;

/// A tensor [2, 4, 6] whose values count up, or of another shape of 48 values.
TensorView counting(const std::vector<float>& values, std::vector<int64_t> shape) {
  TensorView view;
  view.shape = std::move(shape);
  view.bytes = std::as_bytes(std::span(values));
  return view;
}

std::vector<float> first_numbers(size_t count) {
  std::vector<float> values(count);
  std::iota(values.begin(), values.end(), 0.0f);
  return values;
}

TEST(TensorSlice, TakesRowsOfOneExpert) {
  const std::vector<float> values = first_numbers(48);
  const TensorSlice odd{"t", {2, 4, 6}, 1, 1, 2, 2, false};
  EXPECT_THAT(shape_of(odd), ElementsAre(2, 6));
  const TensorView view = counting(values, stored_shape(odd));
  EXPECT_THAT(sliced_rows(odd, view, nullptr)->decode_all(),
              ElementsAre(30, 31, 32, 33, 34, 35, 42, 43, 44, 45, 46, 47));
  std::vector<float> last(6);
  sliced_rows(odd, view, nullptr)->decode_rows(1, 2, last.data());
  EXPECT_THAT(last, ElementsAre(42, 43, 44, 45, 46, 47));
  EXPECT_EQ(expert_bytes(odd, view).data(), view.bytes.data() + 24 * sizeof(float));
  EXPECT_EQ(expert_bytes(odd, view).size(), 24 * sizeof(float));
}

TEST(TensorSlice, TransposesWhereTheFileHoldsColumns) {
  const std::vector<float> values = first_numbers(48);
  const TensorSlice even{"t", {2, 4, 6}, 1, 0, 2, 3, true};
  EXPECT_THAT(shape_of(even), ElementsAre(3, 4));
  const RowSourcePtr rows = sliced_rows(even, counting(values, stored_shape(even)), nullptr);
  EXPECT_THAT(rows->decode_all(), ElementsAre(24, 30, 36, 42, 26, 32, 38, 44, 28, 34, 40, 46));
  std::vector<float> two(8);
  rows->decode_rows(1, 3, two.data());
  EXPECT_THAT(two, ElementsAre(26, 32, 38, 44, 28, 34, 40, 46));
  EXPECT_EQ(rows->stored_bytes(), 48);
}

TEST(TensorSlice, TakesPartsOfVectors) {
  const std::vector<float> values = first_numbers(48);
  const TensorSlice half{"t", {8, 6}, 2, 3, 1, 2, false};
  EXPECT_THAT(shape_of(half), ElementsAre(2));
  EXPECT_THAT(sliced_rows(half, counting(values, {8, 6}), nullptr)->decode_all(), ElementsAre(15, 16));
  const TensorSlice even{"t", {8, 6}, 2, 0, 2, 3, false};
  EXPECT_THAT(sliced_rows(even, counting(values, {8, 6}), nullptr)->decode_all(), ElementsAre(12, 14, 16));
}

TEST(TensorSlice, DecodesMxfp4) {
  const TensorSlice slice{"t", {2, 2, 32}, 1, 1, 1, 1, false, "s"};
  EXPECT_THAT(stored_shape(slice), ElementsAre(2, 2, 1, 16));
  EXPECT_THAT(scales_shape(slice), ElementsAre(2, 2, 1));
  std::vector<uint8_t> blocks(64, 0), scales = {127, 127, 127, 129};
  for (size_t i = 0; i < 16; ++i) blocks[48 + i] = static_cast<uint8_t>(i | (15 - i) << 4);
  TensorView tensor, of_scales;
  tensor.dtype = of_scales.dtype = DType::kU8;
  tensor.shape = stored_shape(slice), of_scales.shape = scales_shape(slice);
  tensor.bytes = std::as_bytes(std::span(blocks)), of_scales.bytes = std::as_bytes(std::span(scales));
  const std::vector<float> e2m1 = {0, 0.5, 1, 1.5, 2, 3, 4, 6, -0.0, -0.5, -1, -1.5, -2, -3, -4, -6};
  std::vector<float> expected;
  for (size_t i = 0; i < 16; ++i) {
    expected.push_back(4 * e2m1[i]);
    expected.push_back(4 * e2m1[15 - i]);
  }
  const RowSourcePtr rows = sliced_rows(slice, tensor, &of_scales);
  EXPECT_THAT(rows->decode_all(), ElementsAreArray(expected));
  EXPECT_EQ(rows->storage(), "MXFP4");
  EXPECT_EQ(rows->stored_bytes(), 17);
  scales[3] = 255;
  EXPECT_TRUE(std::isnan(rows->decode_all()[5]));
}

}  // namespace
}  // namespace bitloom
