#pragma once
// The levels of a format as latent weights meet them: rounding to the nearest, and the range within which gradients
// pass.

#include <cstdint>
#include <memory>
#include <vector>

#include "format/format.h"

namespace bitloom {

struct GridLevels {
  /// `asymmetric`: integers with a zero point.
  explicit GridLevels(const Format& format, bool asymmetric = false);

  /// The number nearest to w that is rounded to `decoded`, a level times `scale`, and a little from where it would not
  /// be; `decoded` where the scale is 0 or w no finite number.
  float within_code(float w, float decoded, float scale, uint8_t zero = 0) const;

  bool asymmetric;
  std::unique_ptr<const ArrayEncoder> encoder;
  std::vector<float> ascending;
  std::vector<float> decode;  // by code
  float low, high;            // half a step beyond the outermost levels; of asymmetric grids, of codes
};

}  // namespace bitloom
