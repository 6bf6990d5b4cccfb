#pragma once
// What every kernel makes of the input: each block's sums of x, and tables of sums for each word of its bits, of
// columns that are not salient and of salient ones. In an unnamed namespace, as nibble_table.h.

#include "kernels/nibble_table.h"
#include "kernels/plane_dot/plane_dot.h"

namespace bitloom {
namespace {

/// Sums of x over a block's columns.
struct BlockTotals {
  float plain, salient;
};

/// Columns of one word.
inline constexpr int64_t kWordColumns = 32;

/// Which tables the word has that begins at column i of a block.
inline bool has_plain(const PlaneLayout::Block& block, int64_t i) { return i < block.plain; }
inline bool has_salient(const PlaneLayout::Block& block, int64_t i) {
  return block.plain < block.columns && i + kWordColumns > block.plain;
}

/// Scratch memory: the totals of all blocks, then the tables of all words.
inline int64_t totals_bytes(const PlaneTiles& w) {
  const auto bytes = static_cast<int64_t>(w.layout->blocks.size() * sizeof(BlockTotals));
  return (bytes + 63) / 64 * 64;
}

/// Tables of columns [first, last) of a block's order, those of its word that begins at column i; the others count 0.
inline void sum_word(const float* x, const int32_t* columns, int64_t i, int64_t first, int64_t last, WordSums& sums) {
  for (int nibble = 0; nibble < kWordNibbles; ++nibble) {
    float zero[4] = {}, step[4] = {};
    for (int k = 0; k < 4; ++k) {
      const int64_t c = i + 4 * nibble + k;
      if (c >= first && c < last) step[k] = x[columns[c]];
    }
    sums_of_bits(zero, step, sums.t[nibble]);
  }
}

/// Calls put(sums) for the tables in the order in which kernels meet them; writes totals.
template <typename Put>
inline void prepare_planes(const PlaneTiles& w, const float* x, BlockTotals* totals, const Put& put) {
  WordSums sums;
  for (const PlaneLayout::Block& block : w.layout->blocks) {
    const int32_t* columns = w.layout->order.data() + block.first;
    BlockTotals total = {0, 0};
    for (int64_t i = 0; i < block.plain; ++i) total.plain += x[columns[i]];
    for (int64_t i = block.plain; i < block.columns; ++i) total.salient += x[columns[i]];
    *totals++ = total;
    for (int64_t i = 0; i < block.columns; i += kWordColumns) {
      if (has_plain(block, i)) {
        sum_word(x, columns, i, 0, block.plain, sums);
        put(sums);
      }
      if (has_salient(block, i)) {
        sum_word(x, columns, i, block.plain, block.columns, sums);
        put(sums);
      }
    }
  }
}

}  // namespace
}  // namespace bitloom
