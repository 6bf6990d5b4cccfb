#include <algorithm>
#include <cstring>

#include "kernels/int_dot/round_input.h"
#include "kernels/int_gemm/int_gemm.h"

namespace bitloom {
namespace {

/// Bytes 0, 2, 4 and 6.
uint32_t even_bytes(uint64_t eight) {
  eight &= 0x00ff00ff00ff00ff;
  eight = (eight | eight >> 8) & 0x0000ffff0000ffff;
  return static_cast<uint32_t>(eight | eight >> 16);
}

/// What token `t` of a block of `width` gets of the piece that begins at column `first`.
void place(const Int8Piece& piece, int64_t first, int64_t t, int64_t width, const PanelInput& to) {
  for (int64_t k = 0; k < kInputPadding / 4; k += 2) {
    uint64_t eight;
    std::memcpy(&eight, piece.digits + 4 * k, sizeof eight);
    const uint32_t even = even_bytes(eight), odd = even_bytes(eight >> 8);
    int8_t* at = to.digits + ((first / 4 + k) * width + t) * 4;
    std::memcpy(at, &even, sizeof even), std::memcpy(at + width * 4, &odd, sizeof odd);
  }
  for (int64_t b = 0; b < kInputPadding / kInputBlock; ++b) {
    const float scale = piece.scales[b];
    for (int64_t half = 0; half < 2; ++half) {
      const int64_t place16 = (first / 16 + 2 * b + half) * width + t;
      to.sums16[place16] = -128 * piece.sums[2 * b + half];
      to.values16[place16] = scale * static_cast<float>(piece.sums[2 * b + half]);
    }
    const int64_t place32 = (first / 32 + b) * width + t;
    const int32_t sum = piece.sums[2 * b] + piece.sums[2 * b + 1];
    to.scales[place32] = scale;
    to.sums32[place32] = -128 * sum;
    to.values32[place32] = scale * static_cast<float>(sum);
  }
}

}  // namespace

void round_token_block(const float* x, int64_t tokens, int64_t cols, int64_t block, const PanelInput& out,
                       const float* scales) {
  const int64_t first = block * kTokenBlock, width = token_block(tokens - first);
  PanelInput to = out;
  to.digits += first * out.stride, to.scales += first * (out.stride / 32);
  to.sums16 += first * (out.stride / 16), to.values16 += first * (out.stride / 16);
  to.sums32 += first * (out.stride / 32), to.values32 += first * (out.stride / 32);
  for (int64_t t = 0; t < width; ++t) {
    for (int64_t c = 0; c < out.stride; c += kInputPadding) {
      Int8Piece piece = {};
      if (first + t < tokens) {
        const float scale = scales == nullptr ? 0 : scales[first + t];
        round_piece_to_int8(x + (first + t) * cols + c, std::min(kInputPadding, cols - c), piece, scale);
      }
      place(piece, c, t, width, to);
    }
  }
}

}  // namespace bitloom
