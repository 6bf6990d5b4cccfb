#pragma once
// Products of a matrix of signs with some weights in 8 bits (format/families/partial/partial_storage.h), as it lies in
// its file, with one or several vectors.
//
//   y[t, r] = mu (X - M) + alpha (2 S - (X - M)) + low M + step C          t < tokens, first <= r < last
//
// with X the sum of all x[t, c], M over masked weights, S over those with a +, C over masked ones times their codes;
// all in fp32, in lanes whose order never changes.

#include <cstddef>
#include <cstdint>
#include <span>

#include "base/simd/cpu_features.h"

namespace bitloom {

struct PartialRows {
  const std::byte* mask = nullptr;    // [rows, ceil(cols / 8)], 1: in 8 bits
  const std::byte* signs = nullptr;   // [rows, ceil(cols / 8)], 1: +; 0 where masked
  const std::byte* codes = nullptr;   // U8 of the masked weights, row after row
  const std::byte* scales = nullptr;  // F16 [rows, 4]: mu alpha low step
  const int64_t* starts = nullptr;    // [rows + 1]: row r holds codes [starts[r], starts[r + 1])
  int64_t rows = 0, cols = 0;
};

struct PartialDotCall {
  PartialRows w;
  int64_t first = 0, last = 0, tokens = 1;
  const float* x = nullptr;  // [tokens, cols]
  float* y = nullptr;        // [tokens, y_stride], element (t, r) at t * y_stride + r
  int64_t y_stride = 0;
};

using PartialDotKernel = void(const PartialDotCall& call);

struct PartialDotEntry {
  const char* name;
  PartialDotKernel* kernel;
  Isa isa;
};

/// All of this build, in the order of preference.
std::span<const PartialDotEntry> partial_dot_kernels();
/// The first that `isa` or a lower one allows.
const PartialDotEntry& find_partial_dot(Isa isa);

/// What the sums of a row come to; scales: of that row, F16 [4].
float partial_product(const std::byte* scales, float all, float masked, float plus, float coded);

}  // namespace bitloom
