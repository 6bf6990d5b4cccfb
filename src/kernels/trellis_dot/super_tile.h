#pragma once
// What every kernel does around a super-tile: where it lies, what its products mean. In an unnamed namespace: sources
// with flags of their own include it, whose copies a linker must not exchange.

#include <algorithm>
#include <cstring>

#include "kernels/trellis_dot/trellis_dot.h"

namespace bitloom {
namespace {

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

/// Where a step's window of 16 bits lies: `shift` bits into word `high` of its tile, and on in word `low`.
struct TrellisWindow {
  int high, low, shift;
};

/// Those of all steps.
struct TrellisWindows {
  TrellisWindow of[256];
  explicit TrellisWindows(const TrellisRows& w) {
    const int words = 8 * w.half_bits, bits = 16 * words;
    int end = 0;
    for (int t = 0; t < 256 / w.values; ++t) {
      end += w.values == 2 ? w.half_bits : (w.half_bits + t % 2) / 2;
      const int start = (end - 16 + bits) % bits;
      of[t] = {start / 16, (start / 16 + 1) % words, start % 16};
    }
  }
};

/// Room for the words of a super-tile: at most 80 of 32 tiles.
struct SuperTileRoom {
  alignas(64) std::byte bytes[80 * 64];
};

/// A super-tile's words as if it had all 32 tiles: itself, or a copy whose other tiles are zeros.
inline const std::byte* whole_super_tile(const SuperRow& row, const std::byte* tile, SuperTileRoom& room) {
  if (row.groups == 16) return tile;
  std::memset(room.bytes, 0, static_cast<size_t>(64 * row.words));
  for (int64_t e = 0; e < row.words; ++e) {
    std::memcpy(room.bytes + 64 * e, tile + 4 * row.groups * e, static_cast<size_t>(4 * row.groups));
  }
  return room.bytes;
}

}  // namespace
}  // namespace bitloom
