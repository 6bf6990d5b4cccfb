#include <algorithm>
#include <cassert>
#include <cstring>

#include "kernels/int_dot/round_input.h"
#include "kernels/int_gemm/int_gemm.h"

namespace bitloom {
namespace {

constexpr int64_t kPiece = 1024;  // columns rounded at a time
static_assert(kPiece % kInputPadding == 0);

/// What token `t` of a block of `width` gets of columns [first, first + count), count a multiple of kInputPadding.
void place(const int8_t* digits, const float* scales, const int32_t* fours, int64_t first, int64_t count, int64_t t,
           int64_t width, const PanelInput& to) {
  for (int64_t k = 0; k < count / 4; ++k) {
    std::memcpy(to.digits + ((first / 4 + k) * width + t) * 4, digits + 4 * k, 4);
  }
  for (int64_t b = 0; b < count / 32; ++b) {
    int32_t sums[2];
    for (int64_t half = 0; half < 2; ++half) {
      const int32_t* at = fours + b * 8 + half * 4;
      sums[half] = (at[0] + at[1]) + (at[2] + at[3]);
      const int64_t place16 = (first / 16 + 2 * b + half) * width + t;
      to.sums16[place16] = -128 * sums[half];
      to.values16[place16] = scales[b * 8] * static_cast<float>(sums[half]);
    }
    const int64_t place32 = (first / 32 + b) * width + t;
    to.scales[place32] = scales[b * 8];
    to.sums32[place32] = -128 * (sums[0] + sums[1]);
    to.values32[place32] = scales[b * 8] * static_cast<float>(sums[0] + sums[1]);
  }
}

}  // namespace

void round_token_block(const float* x, int64_t tokens, int64_t cols, int64_t block, const PanelInput& out) {
  const int64_t first = block * kTokenBlock, width = token_block(tokens - first);
  PanelInput to = out;
  to.digits += first * out.stride, to.scales += first * (out.stride / 32);
  to.sums16 += first * (out.stride / 16), to.values16 += first * (out.stride / 16);
  to.sums32 += first * (out.stride / 32), to.values32 += first * (out.stride / 32);
  for (int64_t t = 0; t < width; ++t) {
    for (int64_t c = 0; c < out.stride; c += kPiece) {
      int8_t digits[kPiece];
      float scales[kPiece / 4];
      int32_t high[kPiece / 4], rest[kPiece / 4];
      const int64_t count = std::min(kPiece, out.stride - c), filled = std::min(count, cols - c);
      if (first + t < tokens) {
        round_input(x + (first + t) * cols + c, filled, DotInput::kInt8, InputOrder::kNatural,
                    {digits, scales, high, rest, count});
      } else {
        std::fill_n(digits, count, int8_t{0}), std::fill_n(scales, count / 4, 0.0f), std::fill_n(high, count / 4, 0);
      }
      place(digits, scales, high, c, count, t, width, to);
    }
  }
}

}  // namespace bitloom
