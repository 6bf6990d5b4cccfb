#include <algorithm>
#include <bit>
#include <cstring>

#include "base/simd/vector_clones.h"
#include "kernels/bf16_gemm/bf16_gemm.h"

namespace bitloom {
namespace {

constexpr int64_t kPieceCols = 256;

/// What f32_to_bf16() gives, in loops that a compiler can vectorise.
BITLOOM_VECTOR_CLONES void round_piece(const float* x, int64_t cols, uint16_t* out) {
  for (int64_t c = 0; c < cols; ++c) {
    const uint32_t bits = std::bit_cast<uint32_t>(x[c]), high = bits >> 16;
    const uint32_t nearest = (bits + 0x7FFF + (high & 1)) >> 16, quiet = high | 0x40;
    out[c] = static_cast<uint16_t>((bits & 0x7FFFFFFF) > 0x7F800000 ? quiet : nearest);
  }
}

/// to[i width] = pair i.
void spread(const uint16_t* from, int64_t pairs, int64_t width, uint16_t* to) {
  for (int64_t i = 0; i < pairs; ++i) std::memcpy(to + 2 * i * width, from + 2 * i, 2 * sizeof *from);
}

}  // namespace

void round_to_bf16(const float* x, int64_t tokens, int64_t cols, int64_t block, const Bf16Input& out) {
  const int64_t first = block * kBf16TokenBlock, width = bf16_token_block(tokens - first);
  uint16_t* to = out.pairs + first * out.stride;
  for (int64_t t = 0; t < width; ++t) {
    for (int64_t c = 0; c < out.stride; c += kPieceCols) {
      uint16_t piece[kPieceCols] = {};
      const int64_t count = first + t < tokens ? std::clamp<int64_t>(cols - c, 0, kPieceCols) : 0;
      round_piece(x + (first + t) * cols + c, count, piece);
      spread(piece, std::min(kPieceCols, out.stride - c) / 2, width, to + c * width + 2 * t);
    }
  }
}

}  // namespace bitloom
