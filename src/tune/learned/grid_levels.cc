#include "tune/learned/grid_levels.h"

#include <algorithm>
#include <cmath>

namespace bitloom {

GridLevels::GridLevels(const Format& format, bool has_zeros)
    : asymmetric(has_zeros), encoder(make_encoder(format, Ties::kEven)) {
  Grid grid = grid_of(format);
  ascending = std::move(grid.levels), decode = std::move(grid.decode);
  low = ascending[0] - (ascending[1] - ascending[0]) / 2;
  high = ascending.back() + (ascending.back() - ascending[ascending.size() - 2]) / 2;
  if (asymmetric) low = -0.5f, high = static_cast<float>(decode.size()) - 0.5f;
}

float GridLevels::within_code(float w, float decoded, float scale, uint8_t zero) const {
  constexpr float kInside = 1 - 0x1p-7f;  // of the way from the level to the tie: far above fp32's errors of w / scale
  if (scale == 0 || !std::isfinite(w)) return decoded;
  const float level = decoded / scale;
  float from = level - 0.5f, to = level + 0.5f;  // of integers with a zero point
  if (!asymmetric) {
    const auto above = std::upper_bound(ascending.begin(), ascending.end(), level + 1e-3f * std::abs(level) + 1e-6f);
    const auto at = above == ascending.begin() ? above : above - 1;
    from = at == ascending.begin() ? low : (*(at - 1) + *at) / 2;
    to = at + 1 == ascending.end() ? high : (*at + *(at + 1)) / 2;
  } else {
    from = std::max(from, low - static_cast<float>(zero)), to = std::min(to, high - static_cast<float>(zero));
  }
  const float u = std::clamp(w / scale, level + (from - level) * kInside, level + (to - level) * kInside);
  return scale * u;
}

}  // namespace bitloom
