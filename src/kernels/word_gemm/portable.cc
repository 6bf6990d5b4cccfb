// The definition as plain loops.

#include "kernels/word_gemm/word_gemm.h"

namespace bitloom {

void word_gemm_portable(const WordProduct& product) {
  for (int64_t i = 0; i < product.m; ++i) {
    const int16_t* a = product.a + i * product.a_stride;
    int32_t sums[kWordStrip] = {};
    for (int64_t k = 0; k < kWordDepth; ++k) {
      const int16_t* b = product.b + kWordStrip * (k - k % 2) + k % 2;
      for (int64_t r = 0; r < kWordStrip; ++r) sums[r] += a[k] * b[2 * r];
    }
    const float scale = product.a_scale[i * product.a_scale_stride];
    float* c = product.c + i * product.c_stride;
    for (int64_t r = 0; r < kWordStrip; ++r) c[r] += scale * product.b_scale[r] * static_cast<float>(sums[r]);
  }
}

}  // namespace bitloom
