#pragma once
// The storage layout of two bits a weight, a sign and a second one, for kernels that look up many at once
// (kernels/plane_dot). Rows lie in tiles of 16, columns in blocks, the last of which may be shorter. In a tile block
// after block, and in a block
//
//   columns    those that are not salient, then those that are, both ascending
//   bits       each row's signs as row words (packing/row_words.h), each row's seconds likewise: 64 bytes of the one,
//              64 of the other, and so on; the last words may have fewer bytes a row

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "packing/row_words.h"

namespace bitloom {

struct PlaneLayout {
  struct Block {
    int64_t first = 0;               // of its columns in the order
    int64_t columns = 0, plain = 0;  // of them not salient
    int64_t start = 0;               // bytes of a tile
    int64_t row_bytes() const { return (columns + 7) / 8; }
  };

  /// salient [cols]: 0 or 1. `block` >= 1.
  PlaneLayout(std::span<const uint8_t> salient, int64_t block);

  std::vector<int32_t> order;  // columns as they lie
  std::vector<Block> blocks;
  int64_t tile_bytes = 0;
};

/// Bytes of a tile.
int64_t plane_tile_bytes(int64_t cols, int64_t block);

/// The byte of a tile with bit i % 8 of row `row`: of the i-th column of the block; plane 0: signs, 1: seconds.
inline int64_t plane_place(const PlaneLayout::Block& block, int64_t row, int64_t i, int64_t plane) {
  const int64_t word = i / 32, width = std::min<int64_t>(4, block.row_bytes() - 4 * word);
  return block.start + 2 * 4 * kTileRows * word + (plane * kTileRows + row) * width + i / 8 % 4;
}

}  // namespace bitloom
