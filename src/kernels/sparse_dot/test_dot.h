#pragma once
// For tests and benchmarks: random entries and random vectors.

#include <random>

#include "base/memory/dtype.h"
#include "kernels/guarded.h"
#include "kernels/sparse_dot/sparse_dot.h"

namespace bitloom::testing {

struct RandomSparseDot {
  GuardedVector<uint16_t> values, columns;
  GuardedVector<uint32_t> starts = {0};
  GuardedVector<float> x, y;
  SparseDotCall call;

  /// Row r has entries r % `most` places apart, some none.
  RandomSparseDot(int64_t rows, int64_t cols, int64_t most, int64_t tokens, uint32_t seed) {
    std::mt19937 random(seed);
    std::normal_distribution<float> normal;
    for (int64_t r = 0; r < rows; ++r) {
      for (int64_t e = 0; e < r % most; ++e) {
        values.push_back(f32_to_f16(normal(random)));
        columns.push_back(static_cast<uint16_t>((e * cols + random() % static_cast<uint32_t>(cols)) / most));
      }
      starts.push_back(static_cast<uint32_t>(values.size()));
    }
    x = guarded<float>(tokens * cols, [&] { return normal(random); });
    values.shrink_to_fit(), columns.shrink_to_fit(), starts.shrink_to_fit();
    y = guarded<float>(tokens * rows, [&] { return normal(random); });
    call.w = {reinterpret_cast<const std::byte*>(values.data()), reinterpret_cast<const std::byte*>(columns.data()),
              reinterpret_cast<const std::byte*>(starts.data())};
    call.last = rows, call.tokens = tokens, call.x = x.data(), call.x_stride = cols;
    call.y = y.data(), call.y_stride = rows;
  }
  RandomSparseDot(const RandomSparseDot&) = delete;
};

}  // namespace bitloom::testing
