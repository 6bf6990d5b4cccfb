// The definition as plain loops; sums of nibbles stay in fp32.

#include <algorithm>

#include "base/memory/dtype.h"
#include "kernels/plane_dot/plane_words.h"

namespace bitloom {
namespace {

unsigned nibble_of(const PlaneLayout::Block& block, const std::byte* tile, int64_t row, int64_t i, int64_t plane) {
  return std::to_integer<unsigned>(tile[plane_place(block, row, i, plane)]) >> (i % 8) & 15;
}

/// Sums of one row over a segment: S, T, U of one kind of columns, in the words that begin within [first, last).
struct RowSums {
  float s = 0, t = 0, u = 0;
  RowSums(const PlaneLayout::Block& block, const std::byte* tile, int64_t row, int64_t first, int64_t last,
          const WordSums*& word) {
    for (int64_t i = first; i < last; i += kWordColumns, ++word) {
      for (int64_t k = i; k < std::min(block.columns, i + kWordColumns); k += 4) {
        const float* sum = word->t[(k - i) / 4];
        const unsigned signs = nibble_of(block, tile, row, k, 0), seconds = nibble_of(block, tile, row, k, 1);
        s += sum[signs], t += sum[seconds], u += sum[signs & seconds];
      }
    }
  }
};

/// The levels of a row and block.
struct Levels {
  float at[kPlaneLevels] = {};
  Levels(const PlaneTiles& w, int64_t tile, int64_t block, int64_t row) {
    const auto blocks = static_cast<int64_t>(w.layout->blocks.size());
    for (size_t i = 0; i < kPlaneLevels; ++i) {
      if (w.places[i] < 0) continue;
      const int64_t place = ((tile * blocks + block) * w.level_count + w.places[i]) * kTileRows + row;
      decode_to_f32(w.level_scales == nullptr ? DType::kF16 : DType::kF8E4M3, w.levels, place, 1, at + i);
    }
  }
};

float row_product(const PlaneTiles& w, int64_t tile, int64_t row, const SegmentInputs* x, const WordSums* word) {
  float y = 0;
  const std::byte* codes = w.codes + tile * w.layout->tile_bytes;
  for (size_t b = 0; b < w.layout->blocks.size(); ++b) {
    const PlaneLayout::Block& block = w.layout->blocks[b];
    const Levels level(w, tile, static_cast<int64_t>(b), row);
    for_each_segment(block, [&](const Segment& segment) {
      const RowSums plain(block, codes, row, segment.first, segment.plain_words(), word);
      const RowSums salient(block, codes, row, segment.salient_words(), segment.last, word);
      const float inner = x->plain.total - plain.t, all = x->salient.total;
      y += level.at[kMuC] * inner + level.at[kAlphaC] * (2 * (plain.s - plain.u) - inner) + level.at[kMuO] * plain.t +
           level.at[kAlphaO] * (2 * plain.u - plain.t);
      y += level.at[kMuS] * all + level.at[kAlpha1] * (2 * salient.s - all) + level.at[kAlpha2] * (2 * salient.t - all);
      ++x;
    });
  }
  float scale = 1;
  if (w.level_scales != nullptr) decode_to_f32(DType::kF16, w.level_scales, tile * kTileRows + row, 1, &scale);
  return scale * y;
}

}  // namespace

void plane_dot_portable(const PlaneDotCall& call) {
  auto* inputs = reinterpret_cast<SegmentInputs*>(call.scratch);
  auto* words = reinterpret_cast<WordSums*>(call.scratch + inputs_bytes(call.w));
  for (int64_t t = 0; t < call.tokens; ++t) {
    WordSums* next = words;
    prepare_planes(call.w, call.x + t * call.w.cols, inputs, [&](const WordSums* sums, int count) {
      next = std::copy_n(sums, count, next);
      return 1.0f;
    });
    for (int64_t r = call.first * kTileRows; r < std::min(call.w.rows, call.last * kTileRows); ++r) {
      call.y[t * call.y_stride + r] = row_product(call.w, r / kTileRows, r % kTileRows, inputs, words);
    }
  }
}

}  // namespace bitloom
