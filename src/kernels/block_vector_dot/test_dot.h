#pragma once
// For tests and benchmarks: a product of random block vectors.

#include <cmath>
#include <random>
#include <string>
#include <vector>

#include "format/families/vector/block_vectors.h"
#include "kernels/block_vector_dot/block_vector_dot.h"
#include "kernels/guarded.h"

namespace bitloom::testing {

struct RandomBlockVectorDot {
  BlockVectorStorage storage;
  VectorBlocks blocks;
  std::vector<uint16_t> codes;    // [rows, groups]
  std::vector<int8_t> codebooks;  // [blocks, 2^B, G]
  std::vector<float> scales;      // [blocks], numbers of fp16
  std::vector<GuardedVector<std::byte>> parts;
  GuardedVector<float> x, y;
  GuardedVector<std::byte> scratch;
  BlockVectorDotCall call;

  RandomBlockVectorDot(const RandomBlockVectorDot&) = delete;

  RandomBlockVectorDot(const std::string& text, int64_t rows, int64_t cols, int64_t tokens, bool exact, uint32_t seed)
      : storage(parse_block_vectors(text)), blocks(storage, rows, cols) {
    std::mt19937 random(seed);
    std::normal_distribution<float> normal;
    const int64_t groups = (cols + storage.group - 1) / storage.group;
    for (int64_t i = 0; i < rows * groups; ++i) {
      codes.push_back(static_cast<uint16_t>(random() % static_cast<uint32_t>(storage.entries())));
    }
    for (int64_t i = 0; i < blocks.count() * storage.entries() * storage.group; ++i) {
      codebooks.push_back(static_cast<int8_t>(random()));
    }
    for (int64_t i = 0; i < blocks.count(); ++i) scales.push_back(finite_f16(0.01f + std::abs(normal(random))));
    parts = guarded(pack_block_vectors(storage, rows, cols, codes, codebooks, scales));
    x = guarded<float>(tokens * cols, [&] { return normal(random); });
    y.assign(static_cast<size_t>(tokens * rows), std::nanf(""));
    call.w = {parts[0].data(), parts[1].data(), parts[2].data(), rows,         cols, static_cast<int>(storage.bits),
              storage.group,   blocks.height,   blocks.width,    blocks.across};
    call.last = (rows + kBlockVectorTile - 1) / kBlockVectorTile, call.tokens = tokens, call.exact = exact;
    call.x = x.data(), call.y = y.data(), call.y_stride = rows;
    scratch = guarded_scratch(block_vector_dot_scratch(call.w));
    call.scratch = scratch.data();
  }
};

}  // namespace bitloom::testing
