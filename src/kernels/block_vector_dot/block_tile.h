#pragma once
// Where the codes and codebooks of a tile lie, and its rows decoded one by one. In an unnamed namespace, since each
// kernel compiles it with flags of its own.

#include <bit>
#include <cstring>

#include "base/memory/dtype.h"
#include "kernels/block_vector_dot/block_vector_dot.h"
#include "packing/bitstream.h"

namespace bitloom {
namespace {

struct BlockTile {
  BlockTile(const BlockVectorRows& w, int64_t tile)
      : first(tile * kBlockVectorTile),
        rows(std::min(kBlockVectorTile, w.rows - first)),
        stride(bitstream_bytes(w.bits, rows)),
        codes(w.codes + tile * w.groups() * bitstream_bytes(w.bits, kBlockVectorTile)) {}
  int64_t first, rows;
  int64_t stride;          // bytes of the codes of one vector in all rows
  const std::byte* codes;  // [groups, stride]
};

/// The number of the block of row r.
inline int64_t block_of(const BlockVectorRows& w, int64_t r, int64_t column_block) {
  return (r >> std::countr_zero(static_cast<uint64_t>(w.height))) * w.across + column_block;
}
inline float block_scale(const BlockVectorRows& w, int64_t block) {
  uint16_t half;
  std::memcpy(&half, w.scales + 2 * block, sizeof half);
  return f16_to_f32(half);
}

/// out [count, kGroup] = entries of `book`, of codes that lie kBlockVectorTile apart.
template <int kGroup>
void look_up_row(const std::byte* book, const uint8_t* codes, int64_t count, int8_t* out) {
  for (int64_t j = 0; j < count; ++j) {
    std::memcpy(out + j * kGroup, book + codes[j * kBlockVectorTile] * kGroup, kGroup);
  }
}

/// The whole product, row by row: a run is decoded to integers, and these to fp32, once for all tokens.
inline void multiply_decoded_rows(const BlockVectorDotCall& call) {
  const BlockVectorRows& w = call.w;
  const BlockRuns runs(w);
  using LookUp = void(const std::byte*, const uint8_t*, int64_t, int8_t*);
  LookUp* look_up = w.group == 1   ? look_up_row<1>
                    : w.group == 2 ? look_up_row<2>
                    : w.group == 4 ? look_up_row<4>
                                   : look_up_row<8>;
  for (int64_t index = call.first; index < call.last; ++index) {
    const BlockTile tile(w, index);
    for (int64_t t = 0; t < call.tokens; ++t) std::fill_n(call.y + t * call.y_stride + tile.first, tile.rows, 0.0f);
    for (int64_t run = 0; run < runs.count; ++run) {
      const int64_t size = runs.size(run), groups = (size + w.group - 1) / w.group;
      uint8_t codes[BlockRuns::kLongest][kBlockVectorTile];
      for (int64_t j = 0; j < groups; ++j) {
        unpack_bits(tile.codes + (runs.first(run) / w.group + j) * tile.stride, 0, tile.rows, w.bits, codes[j]);
      }
      for (int64_t r = 0; r < tile.rows; ++r) {
        const int64_t block = block_of(w, tile.first + r, runs.block(run));
        int8_t integers[BlockRuns::kLongest];
        float weights[BlockRuns::kLongest];
        look_up(w.codebooks + block * w.book_bytes(), codes[0] + r, groups, integers);
        for (int64_t c = 0; c < size; ++c) weights[c] = integers[c];
        const float scale = block_scale(w, block);
        for (int64_t t = 0; t < call.tokens; ++t) {
          const float* x = call.x + t * w.cols + runs.first(run);
          float sum = 0;
#pragma omp simd reduction(+ : sum)
          for (int64_t c = 0; c < size; ++c) sum += weights[c] * x[c];
          call.y[t * call.y_stride + tile.first + r] += scale * sum;
        }
      }
    }
  }
}

}  // namespace
}  // namespace bitloom
