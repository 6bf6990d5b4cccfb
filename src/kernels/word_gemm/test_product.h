#pragma once
// For tests and benchmarks: a product of random words, the greatest among them.

#include <algorithm>
#include <random>

#include "kernels/guarded.h"
#include "kernels/word_gemm/word_gemm.h"

namespace bitloom::testing {

struct RandomWords {
  GuardedVector<int16_t> a, b;
  GuardedVector<float> a_scale, b_scale, c;
  WordProduct product;

  explicit RandomWords(int64_t m, uint32_t seed) {
    std::mt19937 random(seed);
    const int64_t a_stride = kWordDepth + 6, c_stride = kWordStrip + 3;
    const auto words = [&random](int64_t n) {
      GuardedVector<int16_t> out(static_cast<size_t>(n));
      for (int16_t& word : out)
        word = static_cast<int16_t>(static_cast<int>(random() % (2 * kMostWord + 1)) - kMostWord);
      return out;
    };
    const auto numbers = [&random](int64_t n) {
      GuardedVector<float> out(static_cast<size_t>(n));
      for (float& number : out) number = static_cast<float>(random() % 2001) * 1e-3f - 1;
      return out;
    };
    a = words(m * a_stride), b = words(kWordDepth * kWordStrip);
    std::fill_n(a.begin(), kWordDepth, static_cast<int16_t>(kMostWord));
    for (int64_t k = 0; k < kWordDepth; ++k) b[static_cast<size_t>(kWordStrip * (k - k % 2) + k % 2)] = -kMostWord;
    a_scale = numbers(2 * m), b_scale = numbers(kWordStrip), c = numbers(m * c_stride);
    product = {m, a.data(), a_stride, b.data(), a_scale.data(), 2, b_scale.data(), c.data(), c_stride};
  }
};

}  // namespace bitloom::testing
