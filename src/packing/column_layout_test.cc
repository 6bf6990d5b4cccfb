#include "packing/column_layout.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "packing/row_words.h"

namespace bitloom {
namespace {

using ::testing::ElementsAre;

ColumnLayout layout_of(const std::vector<int>& widths) {
  std::vector<std::byte> bytes;
  for (const int width : widths) bytes.push_back(static_cast<std::byte>(width));
  return ColumnLayout(bytes);
}

TEST(ColumnLayout, SortsColumnsIntoNibblesAndOthers) {
  const ColumnLayout layout = layout_of({1, 2, 3, 4, 8, 3, 1, 1, 2, 2, 3, 3, 4});
  EXPECT_THAT(layout.order, ElementsAre(3, 12, 2, 0, 5, 6, 10, 7, 1, 8, 9, 11, 4));
  // Nibbles of 4 bits; 3 and 1; 2 and 2; 2 alone: 7 nibbles, 4 bytes; then 3 bits and 8 bits of 16 rows.
  EXPECT_THAT(layout.starts, ElementsAre(0, 4, 8, 11, 12, 15, 16, 19, 20, 22, 24, 64, 70));
  EXPECT_EQ(layout.row_bytes, 4);
  EXPECT_EQ(layout.tile_bytes, 64 + 6 + 16);
  EXPECT_EQ(layout.fours, 2);
  EXPECT_EQ(layout.pairs, 3);
  EXPECT_EQ(layout.twos, 3);
  EXPECT_EQ(layout.ones, 0);
  EXPECT_EQ(layout.odd[3], 1);
  EXPECT_EQ(layout.odd[8], 1);
  EXPECT_EQ(layout.levels, 3 * 2 + 3 * 4 + 4 * 8 + 2 * 16 + 256);
}

TEST(ColumnLayout, OnesFollowTwosInNibblesOfTheirOwn) {
  const ColumnLayout layout = layout_of({2, 1, 1, 1, 1, 1});
  EXPECT_THAT(layout.starts, ElementsAre(0, 4, 5, 6, 7, 8));
  EXPECT_EQ(layout.row_bytes, 2);
  EXPECT_EQ(layout_of({}).tile_bytes, 0);
}

TEST(RowWords, FourBytesOfEveryRowThenTheRest) {
  EXPECT_EQ(row_word_place(6, 0, 0), 0);
  EXPECT_EQ(row_word_place(6, 3, 2), 14);
  EXPECT_EQ(row_word_place(6, 15, 3), 63);
  EXPECT_EQ(row_word_place(6, 0, 4), 64);
  EXPECT_EQ(row_word_place(6, 15, 5), 95);
}

}  // namespace
}  // namespace bitloom
