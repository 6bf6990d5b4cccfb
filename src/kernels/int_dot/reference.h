#pragma once
// The definition of int_dot.h, read literally, in fp64: what every kernel is compared with.

#include "kernels/int_dot/int_dot.h"

namespace bitloom {

/// Element (t, r) of the product for codes of `bits`, and the sum of the absolute values of its terms, by which
/// rounding errors are bounded.
struct ReferenceDot {
  double value = 0, magnitude = 0;
};
ReferenceDot int_dot_reference(const IntDotCall& call, int bits, DotInput input, int64_t t, int64_t r);

}  // namespace bitloom
