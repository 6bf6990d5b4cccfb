#pragma once
// The transform's loops, for the sources that make them of one kind of numbers each, so that a program takes only what
// it uses.

#include <cstdint>

namespace bitloom {
namespace {

template <typename Real>
[[gnu::always_inline]] inline void transform(Real* x, int64_t order, int64_t width) {
  for (int64_t half = width; half < order * width; half *= 2) {
    for (int64_t block = 0; block < order * width; block += 2 * half) {
      Real* low = x + block;
      Real* high = low + half;
      for (int64_t i = 0; i < half; ++i) {
        const Real a = low[i], b = high[i];
        low[i] = a + b;
        high[i] = a - b;
      }
    }
  }
}

}  // namespace
}  // namespace bitloom
