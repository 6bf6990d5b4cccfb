#pragma once
// The codebooks of fixed codes in blocks of a matrix, to the least loss
//
//   L = sum over rows of e H e^T,   e a row of What - W,   What(r, j G + c) = s(r, j) C_b[code(r, j), c]
//
// of which they are quadratic (GPTVQ, van Baalen et al. 2024, 2402.15319, section 3.3, by gradient descent). Conjugate
// gradients, preconditioned by each entry's own block of the system. Rows of blocks have nothing to do with each other:
// each has steps of its own.

#include <cstdint>
#include <span>
#include <vector>

#include "base/threads.h"
#include "format/families/vector/block_vectors.h"
#include "round/vector/additive_code.h"

namespace bitloom {

/// Some rows of a matrix, whole rows of blocks but for the last; columns are padded to whole groups, there W and H are
/// 0.
struct BlockCodes {
  BlockVectorStorage storage;
  VectorBlocks blocks;  // of these rows
  int64_t rows = 0, groups = 0;
  std::vector<uint16_t> codes;     // [rows, groups]
  std::vector<float> scales = {};  // s [rows, groups]; empty: all 1

  int64_t width() const { return groups * storage.group; }
  int64_t book_size() const { return storage.entries() * storage.group; }
  /// Of a row of blocks.
  int64_t strip_size() const { return blocks.across * book_size(); }
  float scale(int64_t row, int64_t group) const {
    return scales.empty() ? 1.0f : scales[static_cast<size_t>(row * groups + group)];
  }
  /// Where the vector of a row's group begins in the codebooks [down, across, 2^B, G].
  int64_t place(int64_t row, int64_t group) const {
    const int64_t block = row / blocks.height * blocks.across + group * storage.group / blocks.width;
    return block * book_size() + codes[static_cast<size_t>(row * groups + group)] * storage.group;
  }
};

/// [down]: L of each row of blocks, in fp64 sums. w [rows, width].
std::vector<double> block_losses(const BlockCodes& code, const LayerMoment& moment, std::span<const float> w,
                                 std::span<const float> codebooks, ThreadPool& threads);

/// The codebooks after `iterations`. Entries without a use stay, as do those of a row of blocks that would not be
/// finite. Memory: W twice, and five times the codebooks in fp64.
std::vector<float> fit_block_codebooks(const BlockCodes& code, const LayerMoment& moment, std::span<const float> w,
                                       const std::vector<float>& codebooks, int64_t iterations, ThreadPool& threads);

}  // namespace bitloom
