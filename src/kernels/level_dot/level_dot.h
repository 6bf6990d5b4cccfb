#pragma once
// Products of a matrix of codes of any levels, as it lies in its file, with one or several vectors.
//
//   y[t, r] = f sum_g s[r', g] sum_{c in g} level(code(r', c)) x[t, c]          t < tokens, first <= r < last
//
// Codes, scales, f and r' as in int_dot/int_dot.h, without zero points; levels are a table of fp32, or those of a
// minifloat of eight bits, which are fp16 once shifted. All in fp32, in lanes whose order never changes.
//
// Goals: no copy of the weights, x as it is. Non-goals: many tokens (decode rows and use sgemm).

#include <cstddef>
#include <cstdint>
#include <span>

#include "base/simd/cpu_features.h"
#include "kernels/int_dot/int_dot.h"

namespace bitloom {

struct LevelRows {
  IntRows w;                      // its levels and zeros are not read
  int bits = 0;                   // of a code, 1 to 8
  const float* levels = nullptr;  // [2^bits], by code
  /// Other than 0: codes are eight bits, a sign and magnitudes that are fp16's once shifted left by so many bits, as
  /// `levels` are.
  int half_shift = 0;
};

struct LevelDotCall {
  LevelRows w;
  int64_t first = 0, last = 0, tokens = 1;
  const float* x = nullptr;  // [tokens, cols]
  float* y = nullptr;        // [tokens, y_stride], element (t, r) at t * y_stride + r
  int64_t y_stride = 0;
};

using LevelDotKernel = void(const LevelDotCall& call);

struct LevelDotEntry {
  const char* name;
  LevelDotKernel* kernel;
  Isa isa;
  int64_t group_multiple;  // it serves groups of a multiple of this many columns, and groups of whole rows
};

/// All of this build, in the order of preference.
std::span<const LevelDotEntry> level_dot_kernels();
/// The first that serves such groups and that `isa` or a lower one allows.
const LevelDotEntry& find_level_dot(Isa isa, int64_t group, int64_t cols);

}  // namespace bitloom
