// The definition as plain loops; sums of nibbles stay in fp32.

#include <algorithm>

#include "base/memory/dtype.h"
#include "kernels/column_dot/column_words.h"
#include "packing/bitstream.h"
#include "packing/row_words.h"

namespace bitloom {
namespace {

void add_tile(const ColumnTables& w, const std::byte* tile, const WordSums* words, float* y) {
  for (int64_t nibble = 0; nibble < 2 * w.layout->row_bytes; ++nibble) {
    const float* t = words[nibble / kWordNibbles].t[nibble % kWordNibbles];
    for (int64_t r = 0; r < kTileRows; ++r) y[r] += t[row_word_field(tile, w.layout->row_bytes, r, 4 * nibble, 4)];
  }
}

void add_odd_columns(const ColumnTables& w, const std::byte* tile, ColumnWalk walk, float* y) {
  const std::byte* column = tile + kTileRows * w.layout->row_bytes;
  for (const int bits : kOddWidths) {
    for (int64_t i = 0; i < w.layout->odd[static_cast<size_t>(bits)]; ++i, column += bitstream_bytes(bits, kTileRows)) {
      float products[256];
      uint8_t codes[kTileRows];
      walk.next_column(bits, products);
      unpack_bits(column, 0, kTileRows, bits, codes);
      for (int64_t r = 0; r < kTileRows; ++r) y[r] += products[codes[r]];
    }
  }
}

}  // namespace

void column_dot_portable(const ColumnDotCall& call) {
  const ColumnTables& w = call.w;
  auto* words = reinterpret_cast<WordSums*>(call.scratch);
  for (int64_t t = 0; t < call.tokens; ++t) {
    ColumnWalk walk(w, call.x + t * w.cols);
    for (int64_t i = 0; i < (w.layout->row_bytes + 3) / 4; ++i) walk.next_word(words[i]);
    for (int64_t tile = call.first; tile < call.last; ++tile) {
      float y[kTileRows] = {};
      const std::byte* codes = w.codes + tile * w.layout->tile_bytes;
      add_tile(w, codes, words, y);
      add_odd_columns(w, codes, walk, y);
      const int64_t row = tile * kTileRows;
      std::copy_n(y, std::min(kTileRows, w.rows - row), call.y + t * call.y_stride + row);
    }
  }
}

}  // namespace bitloom
