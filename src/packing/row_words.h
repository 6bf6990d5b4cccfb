#pragma once
// Sixteen rows' bits side by side, for kernels with a row in each lane of 32 bits: of every row's `row_bytes` bytes the
// first four, row after row, then the next four, and so on. The last of them are fewer where row_bytes is no multiple
// of four. Within a row bits count from the lowest of its first byte.

#include <algorithm>
#include <cstddef>
#include <cstdint>

namespace bitloom {

/// Rows of one tile; a matrix is padded with rows of zeros to whole tiles.
inline constexpr int64_t kTileRows = 16;
constexpr int64_t tiles_of(int64_t rows) { return (rows + kTileRows - 1) / kTileRows; }

/// Where byte `byte` of row `row` lies in its tile.
constexpr int64_t row_word_place(int64_t row_bytes, int64_t row, int64_t byte) {
  const int64_t word = byte / 4;
  return 4 * kTileRows * word + row * std::min<int64_t>(4, row_bytes - 4 * word) + byte % 4;
}

/// The field of `bits` that begins at bit `at` and ends within its byte.
inline uint8_t row_word_field(const std::byte* tile, int64_t row_bytes, int64_t row, int64_t at, int bits) {
  const unsigned byte = std::to_integer<unsigned>(tile[row_word_place(row_bytes, row, at / 8)]);
  return static_cast<uint8_t>((byte >> (at % 8)) & ((1u << bits) - 1));
}
/// The same, set where it was zero.
inline void set_row_word_field(std::byte* tile, int64_t row_bytes, int64_t row, int64_t at, uint8_t value) {
  tile[row_word_place(row_bytes, row, at / 8)] |= static_cast<std::byte>(value << (at % 8));
}

}  // namespace bitloom
