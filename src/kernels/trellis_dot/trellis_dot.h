#pragma once
// Products of a matrix in trellis codes, as it lies in its file, with one or several vectors rounded to integers.
//
//   y[t, r] = scale sum_c v(r, c) x[t, c]          t < tokens, first <= r < last
//
// v are the integers of format/families/trellis/trellis_code.h, laid out as trellis_storage.h says: in super-tiles of
// 256 rows (the last of fewer, in sixteens) by 32 columns, word e of all their tiles together. So one vector of 16-bit
// lanes holds a window of 32 tiles, and its table look-up the values of 16 rows in as many lanes of 32 bits.
//
// x: RoundedInput of 8 or 24 bits in the natural order (int_dot/rounded_input.h): a scale for 32 columns, which are a
// super-tile's. Sums of a super-tile are exact; those of a row are fp32, a fused step for each plane of each super-tile
// in their order: every kernel gives the same bits.
//
// Goals: no copy of the weights, the speed of five instructions for 64 weights (T6V2) or 32 (T6V1). Non-goals: many
// tokens (trellis_gemm), states of 12 bits.

#include <cstddef>
#include <cstdint>
#include <span>

#include "base/simd/cpu_features.h"
#include "kernels/int_dot/rounded_input.h"

namespace bitloom {

inline constexpr int64_t kTrellisRows = 256, kTrellisCols = 32;  // of a super-tile

struct TrellisRows {
  const std::byte* codes = nullptr;
  int64_t rows = 0, cols = 0;
  int values = 2, half_bits = 4;
  uint16_t hash = 0, mix = 0;
  const int8_t* table = nullptr;  // [64]
  float scale = 0;
};

struct TrellisDotCall {
  TrellisRows w;
  int64_t first = 0, last = 0;  // super-tile rows
  int64_t tokens = 1;
  RoundedInput x;
  int planes = 1;      // of x: 1 for 8 bits, 3 for 24
  float* y = nullptr;  // [tokens, y_stride], element (t, r) at t * y_stride + r
  int64_t y_stride = 0;
};

using TrellisDotKernel = void(const TrellisDotCall& call);

struct TrellisDotEntry {
  const char* name;
  TrellisDotKernel* kernel;
  Isa isa;
};

/// All of this build, in the order of preference.
std::span<const TrellisDotEntry> trellis_dot_kernels();
/// The first that `isa` or a lower one allows.
const TrellisDotEntry& find_trellis_dot(Isa isa);

}  // namespace bitloom
