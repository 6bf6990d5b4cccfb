#include "kernels/dense_dot/reference.h"

#include <cmath>

namespace bitloom {

ReferenceDenseDot dense_dot_reference(const DenseDotCall& call, DType dtype, int64_t t, int64_t r) {
  const int64_t row = call.order == nullptr ? r : call.order[r];
  ReferenceDenseDot sum;
  for (int64_t c = 0; c < call.cols; ++c) {
    float weight = 0;
    decode_to_f32(dtype, call.w, row * call.cols + c, 1, &weight);
    const double term = static_cast<double>(weight) * call.x[t * call.cols + c];
    sum.value += term, sum.magnitude += std::abs(term);
  }
  return sum;
}

}  // namespace bitloom
