#pragma once
// Products of a matrix of additive codebooks with 16 or 256 vectors each, its codes as they lie in their file, with one
// or several vectors.
//
//   y[t, r] = scale_r sum_j sum_m  P[j, m, code(r, j, m)]      t < tokens, 256 first <= r < 256 last
//   P[j, m, k] = sum_c C[m, k, c] x[t, j G + c]
//
// laid out as format/families/vector/vector_storage.h says: in tiles of 256 rows, the codes of all rows for one (j, m),
// a "unit", together. P is made once for all rows (AQLM's own CPU kernel; papers' learned page, 1.11) and looked up: in
// fp32, or as bytes of 16 or 24 bits that runs of units share a scale of (of 16 vectors by AVX2 too). A row's sum is
// fp32, run after run, whatever the rows beside it.
//
// Goals: the speed of memory at 2 bits, no copy of the codes. Non-goals: codebooks of other sizes, many tokens (decode
// rows and use sgemm).

#include <cstddef>
#include <cstdint>
#include <span>

#include "kernels/dot_call.h"

namespace bitloom {

inline constexpr int64_t kVectorRows = 256;  // of a tile

struct AdditiveRows {
  const std::byte* codes = nullptr;   // [tiles, groups, M, rows of the tile], as bitstreams
  const float* columns = nullptr;     // C turned round: [M, G, 2^bits]
  const std::byte* scales = nullptr;  // F16 [rows]
  int64_t rows = 0, cols = 0;
  int64_t codebooks = 1, group = 8;  // M, G
  int bits = 8;                      // of a code: 4 or 8

  int64_t units() const { return (cols + group - 1) / group * codebooks; }
  int64_t entries() const { return int64_t{1} << bits; }
};

/// Bytes of scratch memory, at an address divisible by 64.
int64_t vector_dot_scratch(const AdditiveRows& w);

/// Counted in tiles; exact: P in 24 bits or more, else 16.
using VectorDotCall = DotCall<AdditiveRows>;
using VectorDotKernel = void(const VectorDotCall& call);
using VectorDotEntry = DotEntry<AdditiveRows>;

/// All of this build, in the order of preference.
std::span<const VectorDotEntry> vector_dot_kernels();
/// The first that `isa` or a lower one allows.
const VectorDotEntry& find_vector_dot(Isa isa);

}  // namespace bitloom
