#include "model/row_views.h"

#include <gmock/gmock.h>

#include <cstring>
#include <numeric>

namespace bitloom {
namespace {

using ::testing::ElementsAre;
using ::testing::ElementsAreArray;

/// [rows, cols] of 0, 1, 2, ... in fp32.
TensorView counting(int64_t rows, int64_t cols) {
  auto values = std::make_shared<std::vector<float>>(static_cast<size_t>(rows * cols));
  std::iota(values->begin(), values->end(), 0.0f);
  TensorView view;
  view.name = "counting";
  view.shape = {rows, cols};
  view.bytes = std::as_bytes(std::span<const float>(*values));
  view.owner = values;
  return view;
}

std::vector<float> decode(const RowSource& source, int64_t begin, int64_t end) {
  std::vector<float> out(static_cast<size_t>((end - begin) * source.cols()), -1.0f);
  source.decode_rows(begin, end, out.data());
  return out;
}

TEST(RowViews, PermutesRows) {
  const RowSourcePtr view = permuted_rows(dense_rows(counting(4, 2)), {2, 3, 0, 1});
  EXPECT_THAT(view->decode_all(), ElementsAre(4, 5, 6, 7, 0, 1, 2, 3));
  EXPECT_THAT(decode(*view, 1, 3), ElementsAre(6, 7, 0, 1));
  EXPECT_EQ(view->storage(), "F32");
  EXPECT_EQ(view->stored_bytes(), 32);
}

TEST(RowViews, StacksRows) {
  const RowSourcePtr view =
      stacked_rows({dense_rows(counting(2, 2)), transposed_rows(counting(2, 1)), dense_rows(counting(1, 2))});
  EXPECT_THAT(view->decode_all(), ElementsAre(0, 1, 2, 3, 0, 1, 0, 1));
  EXPECT_THAT(decode(*view, 1, 3), ElementsAre(2, 3, 0, 1));
  EXPECT_THAT(decode(*view, 3, 4), ElementsAre(0, 1));
  EXPECT_EQ(view->storage(), "F32");
  EXPECT_EQ(view->stored_bytes(), 32);
}

TEST(RowViews, PermutesColumns) {
  const RowSourcePtr view = permuted_columns(dense_rows(counting(2, 3)), {2, 0, 1});
  EXPECT_THAT(view->decode_all(), ElementsAre(2, 0, 1, 5, 3, 4));
  EXPECT_THAT(decode(*view, 1, 2), ElementsAre(5, 3, 4));
}

TEST(RowViews, ScalesAndShifts) {
  const RowSourcePtr view = affine_rows(dense_rows(counting(1, 3)), 2.0f, -1.0f);
  EXPECT_THAT(view->decode_all(), ElementsAre(-1, 1, 3));
}

TEST(RowViews, TransposesInTiles) {
  constexpr int64_t kRows = 130, kCols = 5;  // three tiles of source rows, the last one short
  const TensorView source = counting(kRows, kCols);
  std::vector<float> expected;
  for (int64_t c = 0; c < kCols; ++c) {
    for (int64_t r = 0; r < kRows; ++r) expected.push_back(static_cast<float>(r * kCols + c));
  }
  for (const RowSourcePtr& view : {transposed_rows(dense_rows(source)), transposed_rows(source)}) {
    EXPECT_EQ(view->rows(), kCols);
    EXPECT_EQ(view->cols(), kRows);
    EXPECT_THAT(view->decode_all(), ElementsAreArray(expected));
    const std::vector<float> middle(expected.begin() + 2 * kRows, expected.begin() + 4 * kRows);
    EXPECT_THAT(decode(*view, 2, 4), ElementsAreArray(middle));
  }
}

TEST(RowViews, TheOrderOfPermutedRowsIsTold) {
  const RowSourcePtr source = dense_rows(counting(3, 1));
  const RowOrder found = row_order_of(permuted_rows(source, {2, 0, 1}));
  EXPECT_EQ(found.source, source);
  EXPECT_EQ(found.order, (std::vector<int64_t>{2, 0, 1}));
  const RowOrder plain = row_order_of(source);
  EXPECT_EQ(plain.source, source);
  EXPECT_TRUE(plain.order.empty());
}

}  // namespace
}  // namespace bitloom
