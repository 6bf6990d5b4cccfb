#pragma once
// What every kernel does around a super-tile: where it lies, what its products mean.

#include <algorithm>

#include "kernels/trellis_dot/trellis_dot.h"

namespace bitloom {

/// One token's 32 columns of x.
struct TrellisInput {
  const int8_t* digits[3];  // by plane
  float scale;
};

inline TrellisInput trellis_input(const TrellisDotCall& call, int64_t token, int64_t super_col) {
  TrellisInput input{};
  const int64_t at = super_col * kTrellisCols, lanes = call.x.stride / lane_columns(InputOrder::kNatural);
  for (int p = 0; p < call.planes; ++p) {
    input.digits[p] = call.x.digits + (token * call.planes + p) * call.x.stride + at;
  }
  input.scale = call.x.scales[token * lanes + at / lane_columns(InputOrder::kNatural)];
  return input;
}

/// 2^8 to the power of the digits below a plane's.
inline float plane_weight(int planes, int plane) {
  return planes == 1 ? 1.0f : plane == 0 ? 65536.0f : plane == 1 ? 256.0f : 1.0f;
}

/// Row groups of 16 that a row of super-tiles has, and its words.
struct SuperRow {
  int64_t first_row, groups, words;
  const std::byte* codes;
  const std::byte* tile(int64_t super_col) const { return codes + super_col * words * 4 * groups; }
};

inline SuperRow super_row(const TrellisRows& w, int64_t index) {
  const int64_t tile_rows = (w.rows + 15) / 16, super_cols = (w.cols + kTrellisCols - 1) / kTrellisCols;
  const int64_t words = 8 * w.half_bits;
  // Super-tiles before this row are all whole: 32 tiles of 2-byte words.
  return {index * kTrellisRows, std::min<int64_t>(16, tile_rows - 16 * index), words,
          w.codes + index * super_cols * words * 64};
}

}  // namespace bitloom
