#pragma once
// The definition of bf16_gemm.h, read literally, in fp64: what every kernel is compared with.

#include "kernels/bf16_gemm/bf16_gemm.h"

namespace bitloom {

/// Element (t, r) of the product with x [tokens, cols], and the sum of the absolute values of its terms, by which
/// rounding errors are bounded.
struct ReferenceBf16Product {
  double value = 0, magnitude = 0;
};
ReferenceBf16Product bf16_gemm_reference(const Bf16GemmCall& call, const float* x, int64_t t, int64_t r);

}  // namespace bitloom
