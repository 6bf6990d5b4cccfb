#pragma once
// Products of a matrix of block vectors, its codes as they lie in their file, with one or several vectors.
//
//   y[t, r] = sum_b scale(b) sum_j sum_c  C_b[code(r, j), c] x[t, j G + c]      t < tokens, 256 first <= r < 256 last
//
// b runs over the column blocks of row r, j over the vectors of each, as format/families/vector/block_vectors.h says;
// the codes lie in tiles of 256 rows. x is rounded, for runs of at most 256 columns of a block, to integers of 24 bits
// where `exact`, of 16 else (VBMI), or taken as it is. A row's sum is fp32, run after run, whatever the rows beside it.
//
// Goals: the speed of memory for the published settings (vq8-g4, vq4-g2, vq2-g1), no copy of the codes. Non-goals: many
// tokens (decode rows and use sgemm).

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>

#include "kernels/dot_call.h"

namespace bitloom {

inline constexpr int64_t kBlockVectorTile = 256;

struct BlockVectorRows {
  const std::byte* codes = nullptr;
  const std::byte* codebooks = nullptr;  // I8 [row blocks, across, 2^bits, group]
  const std::byte* scales = nullptr;     // F16 [row blocks, across]
  int64_t rows = 0, cols = 0;
  int bits = 8;                                   // of a code, 1 to 8
  int64_t group = 4;                              // G: 1, 2, 4 or 8
  int64_t height = 256, width = 256, across = 1;  // of blocks, and their number in a row; height a power of two

  int64_t groups() const { return (cols + group - 1) / group; }
  int64_t entries() const { return int64_t{1} << bits; }
  int64_t book_bytes() const { return entries() * group; }
};

/// Columns that are rounded and decoded together: those of a block, or an even part of it.
struct BlockRuns {
  static constexpr int64_t kLongest = 256;
  explicit BlockRuns(const BlockVectorRows& w)
      : cols(w.cols),
        width(w.width),
        per_block((w.width + kLongest - 1) / kLongest),
        length(((w.width + per_block - 1) / per_block + 15) / 16 * 16),
        count(w.across * per_block) {}

  int64_t cols, width, per_block, length, count;
  int64_t block(int64_t run) const { return run / per_block; }
  int64_t first(int64_t run) const { return block(run) * width + run % per_block * length; }
  /// Columns; perhaps none of the last runs.
  int64_t size(int64_t run) const {
    const int64_t end = std::min({(block(run) + 1) * width, cols, first(run) + length});
    return std::max<int64_t>(0, end - first(run));
  }
};

/// Tokens at most.
inline constexpr int64_t kBlockVectorTokens = 8;
/// Bytes of scratch memory, at an address divisible by 64.
int64_t block_vector_dot_scratch(const BlockVectorRows& w);

/// Counted in tiles.
using BlockVectorDotCall = DotCall<BlockVectorRows>;
using BlockVectorDotKernel = void(const BlockVectorDotCall& call);
using BlockVectorDotEntry = DotEntry<BlockVectorRows>;

/// All of this build, in the order of preference.
std::span<const BlockVectorDotEntry> block_vector_dot_kernels();
/// The first that `isa` or a lower one allows.
const BlockVectorDotEntry& find_block_vector_dot(Isa isa);

}  // namespace bitloom
