#pragma once
// The definition of dense_dot.h, read literally, in fp64: what every kernel is compared with.

#include "kernels/dense_dot/dense_dot.h"

namespace bitloom {

/// Element (t, r) of the product, and the sum of the absolute values of its terms, by which rounding errors are
/// bounded.
struct ReferenceDenseDot {
  double value = 0, magnitude = 0;
};
ReferenceDenseDot dense_dot_reference(const DenseDotCall& call, DType dtype, int64_t t, int64_t r);

}  // namespace bitloom
