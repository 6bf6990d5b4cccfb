#include <algorithm>
#include <cstring>

#include "base/simd/vector_clones.h"
#include "kernels/int_dot/round_input.h"
#include "kernels/int_gemm/int_gemm.h"

namespace bitloom {
namespace {

/// A piece as a panel's input has it, one token after the other: columns in the order of panel_column(), sums and
/// values.
struct PlacedPiece {
  int32_t fours[kInputPadding / 4];
  int32_t sums16[kInputPadding / 16], sums32[kInputPadding / 32];
  float values16[kInputPadding / 16], values32[kInputPadding / 32];
};

BITLOOM_VECTOR_CLONES void order_piece(const Int8Piece& piece, PlacedPiece& out) {
  int8_t digits[kInputPadding];
  for (int64_t k = 0; k < kInputPadding; k += 8) {
    for (int64_t i = 0; i < 4; ++i) {
      digits[k + i] = piece.digits[k + 2 * i], digits[k + 4 + i] = piece.digits[k + 2 * i + 1];
    }
  }
  std::memcpy(out.fours, digits, sizeof digits);
  for (int64_t b = 0; b < kInputPadding / 32; ++b) {
    const int32_t sum = piece.sums[2 * b] + piece.sums[2 * b + 1];
    out.sums32[b] = -128 * sum, out.values32[b] = piece.scales[b] * static_cast<float>(sum);
  }
  for (int64_t i = 0; i < kInputPadding / 16; ++i) {
    out.sums16[i] = -128 * piece.sums[i], out.values16[i] = piece.scales[i / 2] * static_cast<float>(piece.sums[i]);
  }
}

/// to[i width] = from[i].
template <typename T, size_t kCount>
void spread(const T (&from)[kCount], int64_t width, T* to) {
  for (size_t i = 0; i < kCount; ++i, to += width) *to = from[i];
}

/// What token `t` of a block of `width` gets of the piece that begins at column `first`.
void place(const Int8Piece& piece, int64_t first, int64_t t, int64_t width, const PanelInput& to) {
  PlacedPiece placed;
  order_piece(piece, placed);
  int8_t* at = to.digits + (first / 4 * width + t) * 4;
  for (const int32_t& four : placed.fours) std::memcpy(at, &four, sizeof four), at += 4 * width;
  const int64_t in16 = first / 16 * width + t, in32 = first / 32 * width + t;
  spread(placed.sums16, width, to.sums16 + in16), spread(placed.values16, width, to.values16 + in16);
  spread(placed.sums32, width, to.sums32 + in32), spread(placed.values32, width, to.values32 + in32);
  spread(piece.scales, width, to.scales + in32);
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
      Int8Piece piece;
      if (first + t < tokens) {
        const float scale = scales == nullptr ? 0 : scales[first + t];
        round_piece_to_int8(x + (first + t) * cols + c, std::min(kInputPadding, cols - c), piece, scale);
      } else {
        piece = {};
      }
      place(piece, c, t, width, to);
    }
  }
}

}  // namespace bitloom
