#pragma once
// For tests and benchmarks: a BF16 matrix and an input, rounded as bf16_gemm.h wants it, with room for a product.

#include <algorithm>
#include <cmath>
#include <random>

#include "base/memory/dtype.h"
#include "kernels/bf16_gemm/bf16_gemm.h"
#include "kernels/guarded.h"

namespace bitloom::testing {

struct RandomBf16 {
  GuardedVector<uint16_t> w, pairs;
  GuardedVector<float> x, y;
  GuardedVector<int64_t> order;
  GuardedVector<std::byte> scratch;
  Bf16GemmCall call;

  /// Inputs of up to `largest`; weights of up to 1, some of them far smaller.
  RandomBf16(int64_t rows, int64_t cols, int64_t tokens, float largest, bool permuted, uint32_t seed) {
    std::mt19937 random(seed);
    std::uniform_real_distribution<float> uniform(-1, 1);
    w = guarded<uint16_t>(rows * cols, [&] {
      const float value = uniform(random);
      return f32_to_bf16(random() % 8 == 0 ? value * 0x1p-120f : value);
    });
    x = guarded<float>(tokens * cols, [&] { return largest * uniform(random); });
    y.assign(static_cast<size_t>(tokens * rows), std::nanf(""));
    order = guarded<int64_t>(rows, [next = rows]() mutable { return --next; });
    pairs.assign(static_cast<size_t>(bf16_input_size(tokens, cols)), 0x7FC0);  // no number
    scratch = guarded_scratch(bf16_gemm_scratch(cols));
    call.w = reinterpret_cast<const std::byte*>(w.data()), call.order = permuted ? order.data() : nullptr;
    call.cols = cols, call.last = rows, call.tokens = tokens;
    call.x = {pairs.data(), bf16_input_stride(cols)}, call.scratch = scratch.data();
    call.y = y.data(), call.y_stride = rows;
    round();
  }

  void round() {
    for (int64_t b = 0; b * kBf16TokenBlock < call.tokens; ++b) {
      round_to_bf16(x.data(), call.tokens, call.cols, b, call.x);
    }
  }

  /// q[t, c].
  uint16_t rounded(int64_t t, int64_t c) const {
    const int64_t first = t / kBf16TokenBlock * kBf16TokenBlock, width = bf16_token_block(call.tokens - first);
    return pairs[static_cast<size_t>(first * call.x.stride + (c / 2 * width + t - first) * 2 + c % 2)];
  }
};

}  // namespace bitloom::testing
