#pragma once
// What every kernel makes of the input: the products of each unit's vectors with their part of it. In an unnamed
// namespace, since each kernel compiles it with flags of its own.

#include <algorithm>
#include <cstring>

#include "base/memory/dtype.h"
#include "kernels/vector_dot/vector_dot.h"

namespace bitloom {
namespace {

typedef float SixteenFloats __attribute__((vector_size(64), aligned(4), may_alias));

/// out [kEntries] = P[j, m, :] of the unit, for one token's x [cols].
template <int kEntries>
void products_of_unit(const AdditiveRows& w, int64_t unit, const float* x, float* out) {
  const int64_t first = unit / w.codebooks * w.group, width = std::min(w.group, w.cols - first);
  const float* columns = w.columns + unit % w.codebooks * w.group * kEntries;
  constexpr int64_t kStep = std::min(64, kEntries), kVectors = kStep / 16;
  for (int64_t k = 0; k < kEntries; k += kStep) {
    SixteenFloats sums[kVectors] = {};
    for (int64_t t = 0; t < width; ++t) {
      const auto* column = reinterpret_cast<const SixteenFloats*>(columns + t * kEntries + k);
      const float value = x[first + t];
      for (int64_t v = 0; v < kVectors; ++v) sums[v] += value * column[v];
    }
    auto* to = reinterpret_cast<SixteenFloats*>(out + k);
    for (int64_t v = 0; v < kVectors; ++v) to[v] = sums[v];
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
  int64_t stride;          // bytes of a unit
  const std::byte* codes;  // [units, stride]
};
inline VectorTile vector_tile(const AdditiveRows& w, int64_t tile) {
  const int64_t first = tile * kVectorRows, rows = std::min(kVectorRows, w.rows - first);
  return {first, rows, (w.bits * rows + 7) / 8, w.codes + first * w.bits / 8 * w.units()};
}

/// The whole product by look-ups in fp32, four units of bytes at a time.
template <int kEntries>
void look_up_floats(const VectorDotCall& call) {
  const AdditiveRows& w = call.w;
  const int64_t units = w.units();
  auto* products = reinterpret_cast<float*>(call.scratch);
  for (int64_t t = 0; t < call.tokens; ++t) {
    for (int64_t unit = 0; unit < units; ++unit) {
      products_of_unit<kEntries>(w, unit, call.x + t * w.cols, products + unit * kEntries);
    }
    for (int64_t index = call.first; index < call.last; ++index) {
      const VectorTile tile = vector_tile(w, index);
      float sums[kVectorRows] = {};
      const auto* codes = reinterpret_cast<const uint8_t*>(tile.codes);
      int64_t unit = 0;
      if constexpr (kEntries == 16) {
        for (; unit < units; ++unit, codes += tile.stride) {
          const float* p = products + unit * kEntries;
          for (int64_t r = 0; r < tile.rows; ++r) sums[r] += p[codes[r / 2] >> (4 * (r % 2)) & 15];
        }
      } else {
        for (; unit + 4 <= units; unit += 4, codes += 4 * tile.stride) {
          const float* p = products + unit * kEntries;
          for (int64_t r = 0; r < tile.rows; ++r) {
            sums[r] += (p[codes[r]] + p[kEntries + codes[tile.rows + r]]) +
                       (p[2 * kEntries + codes[2 * tile.rows + r]] + p[3 * kEntries + codes[3 * tile.rows + r]]);
          }
        }
        for (; unit < units; ++unit, codes += tile.stride) {
          for (int64_t r = 0; r < tile.rows; ++r) sums[r] += products[unit * kEntries + codes[r]];
        }
      }
      float* y = call.y + t * call.y_stride + tile.first;
      for (int64_t r = 0; r < tile.rows; ++r) y[r] = row_scale(w, tile.first + r) * sums[r];
    }
  }
}

}  // namespace
}  // namespace bitloom
