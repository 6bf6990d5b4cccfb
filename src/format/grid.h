#pragma once
// The one form every scalar format of at most 8 bits has: a sorted table of at most 256 levels. Clip search, feedback
// rounding, packing and table look-up kernels are written once, for grids.

#include <cstdint>
#include <vector>

namespace bitloom {

/// Ties of nearest rounding, on the integer significand q = y / 2^(p - M) (papers' floating-point page, 0.2): to even
/// q, away from zero, toward zero. Formats without a significand (tables) take the index for q.
enum class Ties { kEven, kAway, kTowardZero };

/// The finite levels of a format in ascending order, each with its code.
struct Grid {
  int bits = 0;
  std::vector<float> levels;   // ascending, distinct, finite
  std::vector<uint8_t> codes;  // codes[i] encodes levels[i]
  // even_is_upper[i]: a tie between levels i and i + 1 goes to level i + 1 under Ties::kEven. A property of the gap,
  // not of a level: with no mantissa bits a power of two is odd seen from above and even seen from below.
  std::vector<uint8_t> even_is_upper;
  std::vector<float> decode;  // by code, size 2^bits; Inf or NaN where the code is no finite number
  int negative_zero = -1;     // code of -0, or -1; encoding keeps the sign of values that round to zero, as casts do
  float max_abs = 0;          // largest magnitude
};

/// Code of the level nearest to x, ties by policy, saturating. This is the definition that every faster form is tested
/// against; NaN is a caller's error (assert).
uint8_t encode_nearest(const Grid& grid, float x, Ties ties);

/// thresholds[i] [levels - 1]: the smallest float that rounds to level i + 1 rather than to level i, so that the index
/// of x is the number of thresholds <= x.
std::vector<float> rounding_thresholds(const Grid& grid, Ties ties);

}  // namespace bitloom
