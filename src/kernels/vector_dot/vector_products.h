#pragma once
// What every kernel makes of the input: the products of each unit's 256 vectors with their part of it. In an unnamed
// namespace, since each kernel compiles it with flags of its own.

#include <algorithm>
#include <cstring>

#include "base/dtype.h"
#include "kernels/vector_dot/vector_dot.h"

namespace bitloom {
namespace {

typedef float SixteenFloats __attribute__((vector_size(64), aligned(4), may_alias));

/// out [256] = P[j, m, :] of the unit, for one token's x [cols].
inline void products_of_unit(const AdditiveRows& w, int64_t unit, const float* x, float* out) {
  const int64_t first = unit / w.codebooks * w.group, width = std::min(w.group, w.cols - first);
  const float* columns = w.columns + unit % w.codebooks * w.group * kVectorEntries;
  constexpr int64_t kStep = 64;
  for (int64_t k = 0; k < kVectorEntries; k += kStep) {
    SixteenFloats a{}, b{}, c{}, d{};
    for (int64_t t = 0; t < width; ++t) {
      const auto* column = reinterpret_cast<const SixteenFloats*>(columns + t * kVectorEntries + k);
      const float value = x[first + t];
      a += value * column[0], b += value * column[1], c += value * column[2], d += value * column[3];
    }
    auto* to = reinterpret_cast<SixteenFloats*>(out + k);
    to[0] = a, to[1] = b, to[2] = c, to[3] = d;
  }
}

inline float row_scale(const AdditiveRows& w, int64_t row) {
  uint16_t half;
  std::memcpy(&half, w.scales + 2 * row, 2);
  return f16_to_f32(half);
}

/// A tile's rows, and its codes.
struct VectorTile {
  int64_t first, rows;
  const std::byte* codes;  // [units, rows]
};
inline VectorTile vector_tile(const AdditiveRows& w, int64_t tile) {
  const int64_t first = tile * kVectorRows;
  return {first, std::min(kVectorRows, w.rows - first), w.codes + first * w.units()};
}

/// The whole product by look-ups in fp32, four units at a time.
inline void look_up_floats(const VectorDotCall& call) {
  const AdditiveRows& w = call.w;
  const int64_t units = w.units();
  auto* products = reinterpret_cast<float*>(call.scratch);
  for (int64_t t = 0; t < call.tokens; ++t) {
    for (int64_t unit = 0; unit < units; ++unit) {
      products_of_unit(w, unit, call.x + t * w.cols, products + unit * kVectorEntries);
    }
    for (int64_t index = call.first; index < call.last; ++index) {
      const VectorTile tile = vector_tile(w, index);
      float sums[kVectorRows] = {};
      const auto* codes = reinterpret_cast<const uint8_t*>(tile.codes);
      int64_t unit = 0;
      for (; unit + 4 <= units; unit += 4, codes += 4 * tile.rows) {
        const float* p = products + unit * kVectorEntries;
        for (int64_t r = 0; r < tile.rows; ++r) {
          sums[r] +=
              (p[codes[r]] + p[kVectorEntries + codes[tile.rows + r]]) +
              (p[2 * kVectorEntries + codes[2 * tile.rows + r]] + p[3 * kVectorEntries + codes[3 * tile.rows + r]]);
        }
      }
      for (; unit < units; ++unit, codes += tile.rows) {
        for (int64_t r = 0; r < tile.rows; ++r) sums[r] += products[unit * kVectorEntries + codes[r]];
      }
      float* y = call.y + t * call.y_stride + tile.first;
      for (int64_t r = 0; r < tile.rows; ++r) y[r] = row_scale(w, tile.first + r) * sums[r];
    }
  }
}

}  // namespace
}  // namespace bitloom
