#pragma once
// The definition of int_dot.h, read literally, in fp64: what every kernel is compared with.

#include "kernels/int_dot/int_dot.h"

namespace bitloom {

/// Element (t, r) of the product for codes of `bits` with x as it is, and what its errors are bounded by: the sum of
/// (|level| + |zero| + 2^(bits - 1)) |scale| times |x|, and times the greatest |x| of the columns' block; of a number
/// with a second level |low| + |step| code for its absolute value.
struct ReferenceDot {
  double value = 0, magnitude = 0, block_magnitude = 0;
};
ReferenceDot int_dot_reference(const IntDotCall& call, CodeKind codes, int bits, int64_t t, int64_t r);

/// The same of the rounded input, read back digit by digit.
double rounded_value(const RoundedInput& x, DotInput input, InputOrder order, int64_t t, int64_t column);

}  // namespace bitloom
