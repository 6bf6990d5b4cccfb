#pragma once
// For tests and benchmarks: a product of random signs and codes with random vectors.

#include <random>
#include <vector>

#include "format/families/partial/partial_storage.h"
#include "kernels/guarded.h"
#include "kernels/partial_dot/partial_dot.h"

namespace bitloom::testing {

struct RandomPartialDot {
  std::vector<uint8_t> mask, codes;
  std::vector<PartialScales> scales;
  std::vector<GuardedVector<std::byte>> parts;
  std::vector<int64_t> starts = {0};
  GuardedVector<float> x, y;
  PartialDotCall call;

  RandomPartialDot(int64_t rows, int64_t cols, int64_t tokens, uint32_t seed) {
    std::mt19937 random(seed);
    std::normal_distribution<float> normal;
    for (int64_t r = 0; r < rows; ++r) {
      starts.push_back(starts.back());
      for (int64_t c = 0; c < cols; ++c) {
        mask.push_back(random() % 10 == 0 ? 1 : 0);
        codes.push_back(static_cast<uint8_t>(mask.back() != 0 ? random() % 256 : random() % 2));
        starts.back() += mask.back();
      }
      scales.push_back({0.25f, 1.5f, -2, 0.0625f});
    }
    parts = guarded(pack_partial(rows, cols, mask, codes, scales));
    x = guarded<float>(tokens * cols, [&] { return normal(random); });
    y.resize(static_cast<size_t>(tokens * rows));
    call.w = {parts[0].data(), parts[1].data(), parts[2].data(), parts[3].data(), starts.data(), rows, cols};
    call.last = rows, call.tokens = tokens, call.x = x.data(), call.y = y.data(), call.y_stride = rows;
  }
  RandomPartialDot(const RandomPartialDot&) = delete;
};

}  // namespace bitloom::testing
