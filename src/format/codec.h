#pragma once
// What a format family provides, as a struct of static functions (IntCodec, MinifloatCodec, TableCodec): the row that
// format.cc lists. Everything else in bitloom works from the grid.

#include <cstdint>

namespace bitloom {

/// The numbers of a format that choosing a scale needs.
struct FormatLimits {
  // What a range [lo, hi] is divided by on each side: scale = max(hi / positive, -lo / negative). The outermost levels
  // (0 where a table has none on that side), except for full-range integers, where both are GPTQ's (2^b - 1) / 2: the
  // range then ends half a step beyond the top level, so that no weight errs by more than half a step although steps
  // are smaller.
  float positive = 1, negative = 1;
  float max = 1;         // largest magnitude that both signs have (tables: of either): v_max of OCP MX scale selection
  int max_exponent = 0;  // floor(log2 max): emax of OCP MX
  int mantissa = 0;      // significand bits after the first at the top of the range: M of MxMode::kEven
};

/// Nearest rounding of arrays of numbers already divided by their scale. Ties and saturation as encode_nearest with the
/// policy it was made for; tested against it. NaN is a caller's error.
class ArrayEncoder {
 public:
  virtual ~ArrayEncoder() = default;
  /// y [n] -> codes [n].
  virtual void encode(const float* y, int64_t n, uint8_t* codes) const = 0;
  /// y [n] -> levels [n]; may be in place.
  virtual void snap(const float* y, int64_t n, float* levels) const = 0;
};

}  // namespace bitloom
