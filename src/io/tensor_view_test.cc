#include "io/tensor_view.h"

#include <gmock/gmock.h>

#include <array>
#include <limits>

#include "io/test_support.h"

namespace bitloom {
namespace {

using ::testing::ElementsAre;
using testing::message_of;

TEST(Shape, Text) {
  EXPECT_EQ(shape_text(std::vector<int64_t>{576, 1536}), "[576, 1536]");
  EXPECT_EQ(shape_text({}), "[]");
}

TEST(Shape, CountsElementsOrSaysThatTheyOverflow) {
  constexpr int64_t kHuge = int64_t{1} << 62;
  EXPECT_EQ(checked_elements({}), 1);
  EXPECT_EQ(checked_elements(std::vector<int64_t>{2, 3, 4}), 24);
  EXPECT_EQ(checked_elements(std::vector<int64_t>{kHuge, 0}), 0);
  EXPECT_EQ(checked_elements(std::vector<int64_t>{kHuge, 2}), std::nullopt);
  EXPECT_EQ(checked_elements(std::vector<int64_t>{0, kHuge, kHuge}), std::nullopt);
  EXPECT_EQ(checked_elements(std::vector<int64_t>{3, -1}), std::nullopt);
}

TEST(Shape, AsMatrix) {
  const auto matrix = [](std::vector<int64_t> shape) {
    const MatrixShape m = matrix_shape(shape);
    return std::array{m.rows, m.cols};
  };
  EXPECT_THAT(matrix({}), ElementsAre(1, 1));
  EXPECT_THAT(matrix({5}), ElementsAre(1, 5));
  EXPECT_THAT(matrix({5, 7}), ElementsAre(5, 7));
  EXPECT_THAT(matrix({5, 7, 2}), ElementsAre(5, 14));
  EXPECT_THAT(matrix({0, 7}), ElementsAre(0, 7));
}

TEST(DenseRows, DecodesRunsOfRowsOfPackedElements) {
  // F4, three rows of six codes 0..5, 6..11, 12..17 mod 16: rows begin within a byte's worth of three bytes each.
  const std::array<std::byte, 9> bytes = {std::byte{0x10}, std::byte{0x32}, std::byte{0x54},
                                          std::byte{0x76}, std::byte{0x98}, std::byte{0xBA},
                                          std::byte{0xDC}, std::byte{0xFE}, std::byte{0x10}};
  const TensorView tensor{"t", DType::kF4, {3, 6}, bytes, nullptr, "f"};
  EXPECT_EQ(tensor.elements(), 18);
  const RowSourcePtr rows = dense_rows(tensor);
  EXPECT_EQ(rows->rows(), 3);
  EXPECT_EQ(rows->cols(), 6);
  EXPECT_EQ(rows->stored_bytes(), 9);
  EXPECT_EQ(rows->storage(), "F4");
  std::vector<float> out(12);
  rows->decode_rows(1, 3, out.data());
  EXPECT_THAT(out, ElementsAre(4, 6, -0.0f, -0.5f, -1, -1.5f, -2, -3, -4, -6, 0, 0.5f));
}

TEST(DenseRows, AnEmptyTensorHasNoValues) {
  EXPECT_TRUE(dense_rows({"t", DType::kF32, {0, 4}, {}, nullptr, "f"})->decode_all().empty());
  EXPECT_TRUE(dense_rows({"t", DType::kF32, {4, 0}, {}, nullptr, "f"})->decode_all().empty());
}

TEST(DenseRows, RefusesComplex) {
  EXPECT_EQ(message_of(ErrorKind::kRefused,
                       [] {
                         dense_rows({"t", DType::kC64, {1}, {}, nullptr, "f"});
                       }),
            "f: tensor 't' has complex dtype C64, which has no real values");
}

}  // namespace
}  // namespace bitloom
