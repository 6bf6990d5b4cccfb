#pragma once
// What the products that look up sums of the input have in common: column codebooks, binary planes, vectors of blocks
// and of additive codebooks, lattice points. W says what one of them reads.

#include <cstddef>
#include <cstdint>

#include "base/simd/cpu_features.h"

namespace bitloom {

template <typename W>
struct DotCall {
  W w;
  int64_t first = 0, last = 0;  // tiles of the matrix, or rows where it has none
  int64_t tokens = 1;
  bool exact = true;         // the input, or what is looked up, in 24 bits; else in 16
  const float* x = nullptr;  // [tokens, cols]
  float* y = nullptr;        // [tokens, y_stride], element (t, r) at t * y_stride + r
  int64_t y_stride = 0;
  std::byte* scratch = nullptr;
};

/// One of a list.
template <typename W>
struct DotEntry {
  const char* name;
  void (*kernel)(const DotCall<W>& call);
  Isa isa;
};

}  // namespace bitloom
