#include "packing/column_layout.h"

#include <algorithm>

#include "packing/bitstream.h"
#include "packing/row_words.h"

namespace bitloom {

ColumnLayout::ColumnLayout(std::span<const std::byte> widths) {
  std::array<std::vector<int32_t>, 9> columns;  // by width
  for (size_t c = 0; c < widths.size(); ++c) {
    columns[static_cast<size_t>(widths[c])].push_back(static_cast<int32_t>(c));
    levels += int64_t{1} << static_cast<int>(widths[c]);
  }
  pairs = static_cast<int64_t>(std::min(columns[1].size(), columns[3].size()));
  int64_t bit = 0;
  const auto put = [&](int32_t column, int bits) {
    order.push_back(column), starts.push_back(bit);
    bit += bits;
  };
  const auto first = static_cast<size_t>(pairs);
  for (const int32_t c : columns[4]) put(c, 4);
  for (size_t i = 0; i < first; ++i) put(columns[3][i], 3), put(columns[1][i], 1);
  for (const int32_t c : columns[2]) put(c, 2);
  bit = (bit + 3) / 4 * 4;
  for (size_t i = first; i < columns[1].size(); ++i) put(columns[1][i], 1);
  fours = static_cast<int64_t>(columns[4].size()), twos = static_cast<int64_t>(columns[2].size());
  ones = static_cast<int64_t>(columns[1].size()) - pairs;
  row_bytes = (bit + 7) / 8;
  tile_bytes = kTileRows * row_bytes;
  columns[3].erase(columns[3].begin(), columns[3].begin() + pairs);
  for (const int width : kOddWidths) {
    odd[static_cast<size_t>(width)] = static_cast<int64_t>(columns[static_cast<size_t>(width)].size());
    for (const int32_t c : columns[static_cast<size_t>(width)]) {
      order.push_back(c), starts.push_back(tile_bytes);
      tile_bytes += bitstream_bytes(width, kTileRows);
    }
  }
}

}  // namespace bitloom
