#pragma once
// For observers' tests only.

#include <limits>
#include <vector>

#include "base/rng.h"

namespace bitloom::testing {

/// `count` normal numbers.
inline std::vector<float> normal_values(int64_t count, uint64_t stream) {
  Rng rng(31, stream);
  std::vector<float> x(static_cast<size_t>(count));
  for (float& value : x) value = static_cast<float>(rng.normal());
  return x;
}

/// Small integers: sums of them are exact, so that one pass and merged parts must agree to the last bit.
inline std::vector<float> integer_values(int64_t count, uint64_t stream) {
  Rng rng(32, stream);
  std::vector<float> x(static_cast<size_t>(count));
  for (float& value : x) value = static_cast<float>(rng.next_u32() % 17) - 8.0f;
  return x;
}

inline constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
inline constexpr float kInf = std::numeric_limits<float>::infinity();

}  // namespace bitloom::testing
