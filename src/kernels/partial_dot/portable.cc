// The definition as plain loops, eight columns at a time.

#include <algorithm>

#include "kernels/partial_dot/partial_dot.h"

namespace bitloom {

void partial_dot_portable(const PartialDotCall& call) {
  const PartialRows& w = call.w;
  const int64_t row_bytes = (w.cols + 7) / 8;
  for (int64_t t = 0; t < call.tokens; ++t) {
    const float* x = call.x + t * w.cols;
    float all = 0;
    for (int64_t c = 0; c < w.cols; ++c) all += x[c];
    for (int64_t r = call.first; r < call.last; ++r) {
      const std::byte* code = w.codes + w.starts[r];
      float masked = 0, plus = 0, coded = 0;
      for (int64_t b = 0; b < row_bytes; ++b) {
        const auto mask = std::to_integer<unsigned>(w.mask[r * row_bytes + b]);
        const auto signs = std::to_integer<unsigned>(w.signs[r * row_bytes + b]);
        for (int64_t c = 8 * b; c < std::min(w.cols, 8 * b + 8); ++c) {
          if ((signs >> (c % 8) & 1) != 0) plus += x[c];
          if ((mask >> (c % 8) & 1) == 0) continue;
          masked += x[c];
          coded += static_cast<float>(*code++) * x[c];
        }
      }
      call.y[t * call.y_stride + r] = partial_product(w.scales + 8 * r, all, masked, plus, coded);
    }
  }
}

}  // namespace bitloom
