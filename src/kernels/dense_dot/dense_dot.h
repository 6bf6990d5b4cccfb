#pragma once
// Products of a dense matrix, as it lies in its file, with one or several vectors.
//
//   y[t, r] = sum_c W[order[r], c] x[t, c]          t < tokens, first <= r < last
//
// W [rows, cols] of BF16, F16 or F32, little-endian; x and y fp32, sums in fp32 lanes whose order never changes.
//
// Goals: the speed of memory, no copy of the weights. Non-goals: many tokens (sgemm).

#include <cstddef>
#include <cstdint>
#include <span>

#include "base/memory/dtype.h"
#include "base/simd/cpu_features.h"

namespace bitloom {

struct DenseDotCall {
  const std::byte* w = nullptr;    // [rows, cols]
  const int64_t* order = nullptr;  // [rows], or null: rows as stored
  int64_t cols = 0;
  int64_t first = 0, last = 0, tokens = 1;
  const float* x = nullptr;  // [tokens, cols]
  float* y = nullptr;        // [tokens, y_stride], element (t, r) at t * y_stride + r
  int64_t y_stride = 0;
};

using DenseDotKernel = void(const DenseDotCall& call);

/// One row of the list that dispatch, tests and benchmarks share.
struct DenseDotEntry {
  const char* name;
  DenseDotKernel* kernel;
  Isa isa;
  DType dtype;
};

/// All kernels of this build, in the order of preference.
std::span<const DenseDotEntry> dense_dot_kernels();

/// The first that `isa` or a lower one allows; null when there is none.
const DenseDotEntry* find_dense_dot(Isa isa, DType dtype);

}  // namespace bitloom
