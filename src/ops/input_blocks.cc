#include "ops/input_blocks.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/int_dot/int_dot.h"

namespace bitloom {
namespace {

/// One block of `count` columns; returns its scale.
float round_block(const float* x, int64_t count, int8_t* values) {
  float largest = 0, total = 0;
  for (int64_t i = 0; i < count; ++i) {
    largest = std::max(largest, std::abs(x[i]));
    total += std::abs(x[i]) * 0.03125f;  // a mean cannot overflow; Inf and NaN stay visible in it, unlike in max
  }
  std::fill(values, values + kInt8Block, int8_t{0});
  if (!std::isfinite(total)) return std::numeric_limits<float>::quiet_NaN();
  const float scale = largest / 127.0f;
  if (scale < std::numeric_limits<float>::min()) return 0;
  const float inverse = 1.0f / scale;
  // |x / scale| <= 127.00002: adding and taking away 1.5 * 2^23 rounds to an integer, ties to even.
  constexpr float kUnit = 12582912.0f;
  for (int64_t i = 0; i < count; ++i) values[i] = static_cast<int8_t>((x[i] * inverse + kUnit) - kUnit);
  return scale;
}

}  // namespace

void InputBlocks::round(const float* x, int64_t tokens, int64_t cols) {
  const int64_t blocks = (cols + kInt8Block - 1) / kInt8Block;
  stride_ = blocks * kInt8Block;
  const auto needed = static_cast<size_t>(tokens * blocks);
  if (scales_.size() < needed) scales_.resize(needed), values_.resize(needed * kInt8Block);
  for (int64_t t = 0; t < tokens; ++t) {
    for (int64_t b = 0; b < blocks; ++b) {
      const int64_t first = b * kInt8Block, at = t * blocks + b;
      scales_[static_cast<size_t>(at)] =
          round_block(x + t * cols + first, std::min(kInt8Block, cols - first), values_.data() + at * kInt8Block);
    }
  }
}

}  // namespace bitloom
