#include "round/adaround/flip_row.h"

#include <algorithm>
#include <bit>

#include "base/simd/vector_clones.h"

namespace bitloom {
namespace {

/// change [n], and the bits of the most negative one: negative floats are ordered by their patterns. 0 when none is.
BITLOOM_VECTOR_CLONES uint32_t least_change(const float* __restrict half, const float* __restrict move,
                                            const float* __restrict diagonal, int64_t n, float* __restrict change) {
  uint32_t least = 0;
  for (int64_t i = 0; i < n; ++i) {
    const float value = move[i] * (2.0f * half[i] + move[i] * diagonal[i]);
    change[i] = value;
    const int32_t bits = std::bit_cast<int32_t>(value);
    const auto key = static_cast<uint32_t>(bits & (bits >> 31));
    least = key > least ? key : least;
  }
  return least;
}

BITLOOM_VECTOR_CLONES void add_scaled(const float* __restrict x, float factor, int64_t n, float* __restrict y) {
  for (int64_t i = 0; i < n; ++i) y[i] += factor * x[i];
}

}  // namespace

int64_t best_flip(const FlipRow& row) {
  const uint32_t least = least_change(row.half, row.move, row.diagonal, row.n, row.change);
  if (least <= 0x80000000u) return -1;  // nothing below -0
  const float* end = row.change + row.n;
  return std::find(static_cast<const float*>(row.change), end, std::bit_cast<float>(least)) - row.change;
}

void flip(const FlipRow& row, int64_t j, const float* h_row) {
  add_scaled(h_row, row.move[j], row.n, row.half);
  row.move[j] = -row.move[j];
}

}  // namespace bitloom
