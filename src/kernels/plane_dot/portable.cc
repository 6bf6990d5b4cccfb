// The definition as plain loops; sums of nibbles stay in fp32.

#include <algorithm>

#include "base/dtype.h"
#include "kernels/plane_dot/plane_words.h"

namespace bitloom {
namespace {

/// S, T, U, S', T' of one row.
struct RowSums {
  float plain[3] = {}, salient[2] = {};
};

RowSums sum_block(const PlaneLayout::Block& block, const std::byte* tile, int64_t row, const WordSums* word) {
  RowSums sums;
  for (int64_t i = 0; i < block.columns; i += kWordColumns) {
    const WordSums* plain = has_plain(block, i) ? word++ : nullptr;
    const WordSums* salient = has_salient(block, i) ? word++ : nullptr;
    for (int64_t k = i; k < std::min(block.columns, i + kWordColumns); k += 4) {
      const auto nibble = [&](int64_t plane) {
        return std::to_integer<unsigned>(tile[plane_place(block, row, k, plane)]) >> (k % 8) & 15;
      };
      const unsigned s = nibble(0), t = nibble(1);
      const int64_t table = (k - i) / 4;
      if (plain != nullptr) {
        const float* sum = plain->t[table];
        sums.plain[0] += sum[s], sums.plain[1] += sum[t], sums.plain[2] += sum[s & t];
      }
      if (salient != nullptr) sums.salient[0] += salient->t[table][s], sums.salient[1] += salient->t[table][t];
    }
  }
  return sums;
}

/// What a block adds to a row's sum.
float block_part(const PlaneTiles& w, int64_t tile, int64_t block, int64_t row, const BlockTotals& total,
                 const RowSums& sums) {
  float level[kPlaneLevels] = {};
  for (size_t i = 0; i < kPlaneLevels; ++i) {
    if (w.places[i] < 0) continue;
    const auto blocks = static_cast<int64_t>(w.layout->blocks.size());
    const int64_t at = ((tile * blocks + block) * w.level_count + w.places[i]) * kTileRows + row;
    decode_to_f32(w.level_scales == nullptr ? DType::kF16 : DType::kF8E4M3, w.levels, at, 1, level + i);
  }
  const float inner = level[kMuC] - level[kAlphaC], outer = level[kMuO] - level[kAlphaO];
  return inner * total.plain + 2 * level[kAlphaC] * sums.plain[0] + (outer - inner) * sums.plain[1] +
         2 * (level[kAlphaO] - level[kAlphaC]) * sums.plain[2] +
         (level[kMuS] - level[kAlpha1] - level[kAlpha2]) * total.salient + 2 * level[kAlpha1] * sums.salient[0] +
         2 * level[kAlpha2] * sums.salient[1];
}

float row_product(const PlaneTiles& w, int64_t tile, int64_t row, const BlockTotals* totals, const WordSums* word) {
  float y = 0;
  const std::byte* codes = w.codes + tile * w.layout->tile_bytes;
  for (size_t b = 0; b < w.layout->blocks.size(); ++b) {
    const PlaneLayout::Block& block = w.layout->blocks[b];
    y += block_part(w, tile, static_cast<int64_t>(b), row, totals[b], sum_block(block, codes, row, word));
    for (int64_t i = 0; i < block.columns; i += kWordColumns) {
      word += (has_plain(block, i) ? 1 : 0) + (has_salient(block, i) ? 1 : 0);
    }
  }
  float scale = 1;
  if (w.level_scales != nullptr) decode_to_f32(DType::kF16, w.level_scales, tile * kTileRows + row, 1, &scale);
  return scale * y;
}

}  // namespace

void plane_dot_portable(const PlaneDotCall& call) {
  auto* totals = reinterpret_cast<BlockTotals*>(call.scratch);
  auto* words = reinterpret_cast<WordSums*>(call.scratch + totals_bytes(call.w));
  for (int64_t t = 0; t < call.tokens; ++t) {
    WordSums* next = words;
    prepare_planes(call.w, call.x + t * call.w.cols, totals, [&](const WordSums& sums) { *next++ = sums; });
    for (int64_t r = call.first * kTileRows; r < std::min(call.w.rows, call.last * kTileRows); ++r) {
      call.y[t * call.y_stride + r] = row_product(call.w, r / kTileRows, r % kTileRows, totals, words);
    }
  }
}

}  // namespace bitloom
