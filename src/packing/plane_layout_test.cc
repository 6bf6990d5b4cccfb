#include "packing/plane_layout.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

namespace bitloom {
namespace {

TEST(PlaneLayout, SalientColumnsComeLastInTheirBlock) {
  const PlaneLayout layout(std::vector<uint8_t>{0, 1, 0, 0, 1, 0, 1}, 4);
  EXPECT_THAT(layout.order, ::testing::ElementsAre(0, 2, 3, 1, 5, 4, 6));
  ASSERT_EQ(layout.blocks.size(), 2);
  EXPECT_EQ(layout.blocks[1].first, 4);
  EXPECT_EQ(layout.blocks[1].columns, 3);
  EXPECT_EQ(layout.blocks[1].plain, 1);
  EXPECT_EQ(layout.blocks[1].start, 32);
}

TEST(PlaneLayout, EveryBitHasAPlaceOfItsOwn) {
  for (const auto& [cols, block] : {std::pair<int64_t, int64_t>{100, 48}, {64, 64}, {33, 128}, {7, 3}}) {
    const PlaneLayout layout(std::vector<uint8_t>(static_cast<size_t>(cols)), block);
    EXPECT_EQ(layout.tile_bytes, plane_tile_bytes(cols, block));
    std::set<std::pair<int64_t, int64_t>> places;  // byte, bit
    for (const PlaneLayout::Block& b : layout.blocks) {
      for (int64_t plane = 0; plane < 2; ++plane) {
        for (int64_t row = 0; row < kTileRows; ++row) {
          for (int64_t i = 0; i < b.columns; ++i) {
            const int64_t place = plane_place(b, row, i, plane);
            EXPECT_LT(place, layout.tile_bytes);
            places.emplace(place, i % 8);
          }
        }
      }
    }
    EXPECT_EQ(static_cast<int64_t>(places.size()), 2 * kTileRows * cols) << cols << " " << block;
  }
}

}  // namespace
}  // namespace bitloom
