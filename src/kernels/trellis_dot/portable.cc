// The definition as plain loops.

#include <cmath>

#include "kernels/trellis_dot/super_tile.h"

namespace bitloom {
namespace {

/// sums [planes, 256] += of one super-tile.
void add_super_tile(const TrellisRows& w, const TrellisWindows& windows, const SuperRow& row, const std::byte* tile,
                    const TrellisInput& x, int planes, int32_t* sums) {
  const auto lanes = static_cast<int>(2 * row.groups);
  for (int t = 0; t < 256 / w.values; ++t) {
    const TrellisWindow& window = windows.of[t];
    uint16_t high[32], low[32];
    std::memcpy(high, tile + 2 * lanes * window.high, static_cast<size_t>(2 * lanes));
    std::memcpy(low, tile + 2 * lanes * window.low, static_cast<size_t>(2 * lanes));
    const int row_in_group = t % 16, col = t / 16 * w.values;
    for (int lane = 0; lane < lanes; ++lane) {
      const auto state = static_cast<uint16_t>((uint32_t{high[lane]} << 16 | low[lane]) >> (16 - window.shift));
      const auto h = static_cast<uint16_t>(w.hash * state);
      const uint32_t g = (uint32_t{w.mix} * h) >> 16;
      const int a = w.table[g % 64], b = w.table[(g >> 8) % 64];
      const int r = lane / 2 * 16 + row_in_group, c = lane % 2 * 16 + col;
      for (int p = 0; p < planes; ++p) {
        sums[p * kTrellisRows + r] +=
            w.values == 2 ? a * x.digits[p][c] + b * x.digits[p][c + 1] : (a + b) * x.digits[p][c];
      }
    }
  }
}

}  // namespace

void trellis_dot_portable(const TrellisDotCall& call) {
  const TrellisWindows windows(call.w);
  const int64_t super_cols = (call.w.cols + kTrellisCols - 1) / kTrellisCols;
  for (int64_t s = call.first; s < call.last; ++s) {
    const SuperRow row = super_row(call.w, s);
    const int64_t rows = std::min(kTrellisRows, call.w.rows - row.first_row);
    for (int64_t t = 0; t < call.tokens; ++t) {
      float y[kTrellisRows] = {};
      for (int64_t c = 0; c < super_cols; ++c) {
        int32_t sums[3 * kTrellisRows] = {};
        const TrellisInput x = trellis_input(call, t, c);
        add_super_tile(call.w, windows, row, row.tile(c), x, call.planes, sums);
        for (int p = 0; p < call.planes; ++p) {
          const float weight = plane_weight(call.planes, p) * x.scale;
          for (int64_t r = 0; r < rows; ++r) {
            y[r] = std::fma(weight, static_cast<float>(sums[p * kTrellisRows + r]), y[r]);
          }
        }
      }
      for (int64_t r = 0; r < rows; ++r) call.y[t * call.y_stride + row.first_row + r] = call.w.scale * y[r];
    }
  }
}

}  // namespace bitloom
