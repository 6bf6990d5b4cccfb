#pragma once
// The storage layout of codes whose widths differ by column, for kernels that look up many at once
// (kernels/column_dot). Rows lie in tiles of 16. In a tile
//
//   first      each row is a string of nibbles, in whole bytes, as row words (packing/row_words.h): one for each column
//              of 4 bits; for one of 3 (low) and one of 1 as long as there are both; for two of 2 bits; for four of 1
//   then       column after column of 3, 5, 6, 7 and 8 bits a bitstream (packing/bitstream.h) of its 16 codes
//
// Columns of a width ascend. The last nibbles of 2 and of 1 bits may have fewer columns, in their low bits.

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace bitloom {

/// Widths of columns that are not in nibbles, in the order in which they lie.
inline constexpr int kOddWidths[] = {3, 5, 6, 7, 8};

struct ColumnLayout {
  /// Of 1 to 8 bits each.
  explicit ColumnLayout(std::span<const std::byte> widths);

  std::vector<int32_t> order;  // columns as they lie
  /// Where the code of order[i] begins: of a column in nibbles a bit of each row's string, of any other a byte of the
  /// tile.
  std::vector<int64_t> starts;
  int64_t fours = 0, pairs = 0, twos = 0, ones = 0;  // columns in nibbles; two for each pair of 3 and 1
  std::array<int64_t, 9> odd = {};                   // other columns, by width
  int64_t row_bytes = 0;                             // of a row's nibbles
  int64_t tile_bytes = 0;
  int64_t levels = 0;  // of all columns: 2^bits each

  int64_t nibble_columns() const { return fours + 2 * pairs + twos + ones; }
};

}  // namespace bitloom
