#include "round/nupes/code_descent.h"

#include "base/simd/vector_clones.h"

namespace bitloom {
namespace {

BITLOOM_VECTOR_CLONES void add_scaled(const float* __restrict x, float factor, int64_t n, float* __restrict y) {
  for (int64_t i = 0; i < n; ++i) y[i] += factor * x[i];
}

}  // namespace

double descend_codes(const LayerStatistics& layer, const Grid& grid, int64_t passes, const CodeRow& row) {
  const int64_t d = layer.channels;
  double gained = 0;
  for (int64_t pass = 0; pass < passes; ++pass) {
    bool moved = false;
    for (int64_t j = 0; j < d; ++j) {
      const float curvature = layer.second[j * d + j], scale = row.scales[j / row.group];
      if (!(curvature > 0) || scale == 0) continue;
      const float best = row.weights[j] + row.deviation[j] - row.half_gradient[j] / curvature;
      const uint8_t code = encode_nearest(grid, best / scale, Ties::kEven);
      if (code == row.codes[j]) continue;
      const float move = scale * (grid.decode[code] - grid.decode[row.codes[j]]);
      const double change = 2.0 * static_cast<double>(move) * static_cast<double>(row.half_gradient[j]) +
                            static_cast<double>(move) * static_cast<double>(move) * static_cast<double>(curvature);
      if (!(change < 0)) continue;
      row.codes[j] = code;
      row.deviation[j] += move;
      add_scaled(layer.second + j * d, move, d, row.half_gradient);
      gained -= change;
      moved = true;
    }
    if (!moved) break;
  }
  return gained;
}

}  // namespace bitloom
