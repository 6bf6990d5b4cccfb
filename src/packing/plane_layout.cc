#include "packing/plane_layout.h"

#include <algorithm>

namespace bitloom {

PlaneLayout::PlaneLayout(std::span<const uint8_t> salient, int64_t block) {
  const auto cols = static_cast<int64_t>(salient.size());
  for (int64_t first = 0; first < cols; first += block) {
    const int64_t last = first + std::min(block, cols - first);
    Block next{first, last - first, 0, tile_bytes};
    for (const uint8_t wanted : {uint8_t{0}, uint8_t{1}}) {
      for (int64_t c = first; c < last; ++c) {
        if (salient[static_cast<size_t>(c)] == wanted) order.push_back(static_cast<int32_t>(c));
      }
      if (wanted == 0) next.plain = static_cast<int64_t>(order.size()) - first;
    }
    tile_bytes += 2 * kTileRows * next.row_bytes();
    blocks.push_back(next);
  }
}

int64_t plane_tile_bytes(int64_t cols, int64_t block) {
  const int64_t whole = cols / block, rest = cols % block;
  return 2 * kTileRows * (whole * ((std::min(block, cols) + 7) / 8) + (rest + 7) / 8);
}

}  // namespace bitloom
