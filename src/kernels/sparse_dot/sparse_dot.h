#pragma once
// Products of a few entries of a matrix, row by row (CSR), with one or several vectors, added to what is there.
//
//   y[t, r] += sum over entries e of row r of values[e] x[t, columns[e]]      t < tokens, first <= r < last
//
// Sums of a row are fp32, in lanes whose order never changes.

#include <cstddef>
#include <cstdint>
#include <span>

#include "base/simd/cpu_features.h"

namespace bitloom {

struct SparseRows {
  const std::byte* values = nullptr;   // F16 [entries]
  const std::byte* columns = nullptr;  // U16 [entries], below the vectors' length
  const std::byte* starts = nullptr;   // U32 [rows + 1]: row r holds entries [starts[r], starts[r + 1])
};

struct SparseDotCall {
  SparseRows w;
  int64_t first = 0, last = 0, tokens = 1;
  const float* x = nullptr;  // [tokens, x_stride]
  int64_t x_stride = 0;
  float* y = nullptr;  // [tokens, y_stride], element (t, r) at t * y_stride + r
  int64_t y_stride = 0;
};

using SparseDotKernel = void(const SparseDotCall& call);

struct SparseDotEntry {
  const char* name;
  SparseDotKernel* kernel;
  Isa isa;
};

/// All of this build, in the order of preference.
std::span<const SparseDotEntry> sparse_dot_kernels();
/// The first that `isa` or a lower one allows.
const SparseDotEntry& find_sparse_dot(Isa isa);

}  // namespace bitloom
