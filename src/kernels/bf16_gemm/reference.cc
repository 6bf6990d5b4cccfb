#include "kernels/bf16_gemm/reference.h"

#include <cmath>
#include <cstring>

#include "base/memory/dtype.h"

namespace bitloom {
namespace {

/// Of no denormal number: those count as zeros.
double value_of(uint16_t bf16) {
  const float value = bf16_to_f32(bf16);
  return std::fpclassify(value) == FP_SUBNORMAL ? 0 : static_cast<double>(value);
}

}  // namespace

ReferenceBf16Product bf16_gemm_reference(const Bf16GemmCall& call, const float* x, int64_t t, int64_t r) {
  const int64_t row = call.order == nullptr ? r : call.order[r];
  ReferenceBf16Product sum;
  for (int64_t c = 0; c < call.cols; ++c) {
    uint16_t weight;
    std::memcpy(&weight, call.w + (row * call.cols + c) * 2, sizeof weight);
    const double term = value_of(weight) * value_of(f32_to_bf16(x[t * call.cols + c]));
    sum.value += term, sum.magnitude += std::abs(term);
  }
  return sum;
}

}  // namespace bitloom
