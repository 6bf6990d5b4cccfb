// The definition as plain loops that a compiler can vectorise: a super-tile is decoded to 16 bits once for all tokens.

#include <algorithm>
#include <cmath>

#include "kernels/trellis_dot/super_tile.h"
#include "kernels/trellis_gemm/trellis_gemm.h"

namespace bitloom {
namespace {

/// v of a super-tile, columns as panel_column() says.
using Values = int16_t[kTrellisRows][kTrellisCols];

void decode(const TrellisRows& w, const TrellisWindows& windows, const std::byte* tile, Values& out) {
  for (int t = 0; t < 256 / w.values; ++t) {
    const TrellisWindow& window = windows.of[t];
    uint16_t high[32], low[32];
    std::memcpy(high, tile + 64 * window.high, sizeof high);
    std::memcpy(low, tile + 64 * window.low, sizeof low);
    for (int lane = 0; lane < 32; ++lane) {
      const auto state = static_cast<uint16_t>((uint32_t{high[lane]} << 16 | low[lane]) >> (16 - window.shift));
      const auto h = static_cast<uint16_t>(w.hash * state);
      const uint32_t g = (uint32_t{w.mix} * h) >> 16;
      const int a = w.table[g % 64], b = w.table[(g >> 8) % 64];
      int16_t* row = out[lane / 2 * 16 + t % 16];
      const int64_t c = lane % 2 * 16 + t / 16 * w.values;
      row[panel_column(c)] = static_cast<int16_t>(w.values == 2 ? a : a + b);
      if (w.values == 2) row[panel_column(c + 1)] = static_cast<int16_t>(b);
    }
  }
}

int dot(const int16_t* a, const int16_t* b) {
  int sum = 0;
  for (int i = 0; i < kTrellisCols; ++i) sum += a[i] * b[i];
  return sum;
}

}  // namespace

void trellis_gemm_portable(const TrellisGemmCall& call) {
  const TrellisWindows windows(call.w);
  const int64_t blocks = (call.w.cols + kTrellisCols - 1) / kTrellisCols;
  for (int64_t s = call.first; s < call.last; ++s) {
    const SuperRow row = super_row(call.w, s);
    const int64_t rows = std::min(kTrellisRows, call.w.rows - row.first_row);
    float* y = call.y + row.first_row;
    for (int64_t t = 0; t < call.tokens; ++t) std::fill_n(y + t * call.y_stride, rows, 0.0f);
    for (int64_t b = 0; b < blocks; ++b) {
      SuperTileRoom room;
      Values values;
      decode(call.w, windows, whole_super_tile(row, row.tile(b), room), values);
      for (int64_t t = 0; t < call.tokens; ++t) {
        const int64_t first = t / kTokenBlock * kTokenBlock, width = token_block(call.tokens - first);
        const int8_t* digits = call.x.digits + first * call.x.stride + (b * kTrellisCols * width + (t - first) * 4);
        const float scale = call.x.scales[first * (call.x.stride / 32) + b * width + t - first];
        int16_t wide[kTrellisCols];
        for (int64_t k = 0; k < kTrellisCols / 4; ++k) std::copy_n(digits + k * width * 4, 4, wide + 4 * k);
        float* y_row = y + t * call.y_stride;
        for (int64_t r = 0; r < rows; ++r) {
          y_row[r] = std::fma(static_cast<float>(dot(values[r], wide)), scale, y_row[r]);
        }
      }
    }
    for (int64_t t = 0; t < call.tokens; ++t) {
      for (int64_t r = 0; r < rows; ++r) y[t * call.y_stride + r] *= call.w.scale;
    }
  }
}

}  // namespace bitloom
