#pragma once
// What every kernel makes of the input: sums of x and tables of sums for each word of bits, of columns that are not
// salient and of salient ones. In an unnamed namespace, as nibble_table.h.

#include <algorithm>

#include "kernels/nibble_table.h"
#include "kernels/plane_dot/plane_dot.h"

namespace bitloom {
namespace {

/// Columns of one word.
inline constexpr int64_t kWordColumns = 32;

/// A run of words of a block whose tables share a scale: columns [first, last) of the block's order, of which those
/// below `plain` are not salient.
struct Segment {
  int64_t first, last, plain;
  /// The first word's first column that may be salient, a multiple of a word's.
  int64_t salient_words() const { return plain < last ? std::max(first, plain / kWordColumns * kWordColumns) : last; }
  int64_t plain_words() const { return std::min(last, plain); }  // words that begin below have such columns
};

/// Calls body(segment) for the segments of a block.
template <typename Body>
inline void for_each_segment(const PlaneLayout::Block& block, const Body& body) {
  for (int64_t first = 0; first < block.columns; first += kMostWords * kWordColumns) {
    body(Segment{first, std::min(block.columns, first + kMostWords * kWordColumns), block.plain});
  }
}

inline int64_t words_between(int64_t first, int64_t last) {
  return first >= last ? 0 : (last - first + kWordColumns - 1) / kWordColumns;
}

/// What a segment's columns of one kind add to its input: the sum of their x, and the scale of their tables; the sum
/// is in units of the scale where that is a number above 0.
struct SegmentInput {
  float total = 0, scale = 1;
};
struct SegmentInputs {
  SegmentInput plain, salient;
};

inline int64_t segment_count(const PlaneTiles& w) {
  int64_t count = 0;
  for (const PlaneLayout::Block& block : w.layout->blocks) for_each_segment(block, [&](const Segment&) { ++count; });
  return count;
}

/// Scratch memory: the inputs of all segments, then the tables of all words.
inline int64_t inputs_bytes(const PlaneTiles& w) {
  return (segment_count(w) * static_cast<int64_t>(sizeof(SegmentInputs)) + 63) / 64 * 64;
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

/// Tables of all segments, in each of columns that are not salient, then of salient ones. round(sums, words) takes
/// them and returns their scale.
template <typename Round>
inline void prepare_planes(const PlaneTiles& w, const float* x, SegmentInputs* inputs, const Round& round) {
  for (const PlaneLayout::Block& block : w.layout->blocks) {
    const int32_t* columns = w.layout->order.data() + block.first;
    const auto prepare = [&](int64_t first_word, int64_t first, int64_t last) {
      SegmentInput input;
      if (first >= last) return input;
      WordSums sums[kMostWords];
      for (int64_t i = first; i < last; ++i) input.total += x[columns[i]];
      const auto words = static_cast<int>(words_between(first_word, last));
      for (int i = 0; i < words; ++i) sum_word(x, columns, first_word + i * kWordColumns, first, last, sums[i]);
      input.scale = round(sums, words);
      input.total = input.scale == 0 ? 0 : input.total / input.scale;
      return input;
    };
    for_each_segment(block, [&](const Segment& segment) {
      inputs->plain = prepare(segment.first, segment.first, segment.plain_words());
      inputs->salient = prepare(segment.salient_words(), std::max(segment.first, segment.plain), segment.last);
      ++inputs;
    });
  }
}

}  // namespace
}  // namespace bitloom
