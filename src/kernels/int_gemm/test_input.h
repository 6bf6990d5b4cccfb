#pragma once
// For tests and benchmarks: inputs rounded as int_gemm.h wants them, and room for panels.

#include <cstring>

#include "kernels/guarded.h"
#include "kernels/int_gemm/int_gemm.h"

namespace bitloom::testing {

class GemmBuffers {
 public:
  GemmBuffers(const float* x, int64_t tokens, int64_t cols, int64_t rows) {
    const int64_t padded = padded_tokens(tokens);
    view.stride = (cols + kInputPadding - 1) / kInputPadding * kInputPadding;
    const auto count = [&](int64_t step) { return static_cast<size_t>(padded * (view.stride / step)); };
    digits_.resize(count(1)), scales_.resize(count(32)), sums16_.resize(count(16)), sums32_.resize(count(32));
    values16_.resize(count(16)), values32_.resize(count(32));
    view = {digits_.data(),   scales_.data(),   sums16_.data(), sums32_.data(),
            values16_.data(), values32_.data(), view.stride};
    for (int64_t b = 0; b * kTokenBlock < tokens; ++b) round_token_block(x, tokens, cols, b, view);
    panels_ = guarded_scratch(panel_bytes(rows, cols));
    scratch = panels_.data();
  }

  /// x[t, c] as rounded.
  float value(int64_t t, int64_t c) const {
    const int64_t first = t / kTokenBlock * kTokenBlock,
                  tokens = static_cast<int64_t>(scales_.size()) / (view.stride / 32);
    const int64_t width = token_block(tokens - first), at = panel_column(c);
    const int64_t digit = first * view.stride + ((at / 4) * width + t - first) * 4 + at % 4;
    const int64_t scale = first * (view.stride / 32) + c / 32 * width + t - first;
    return scales_[static_cast<size_t>(scale)] * static_cast<float>(digits_[static_cast<size_t>(digit)]);
  }

  PanelInput view;
  std::byte* scratch = nullptr;

 private:
  GuardedVector<int8_t> digits_;
  GuardedVector<float> scales_, values16_, values32_;
  GuardedVector<int32_t> sums16_, sums32_;
  GuardedVector<std::byte> panels_;
};

}  // namespace bitloom::testing
