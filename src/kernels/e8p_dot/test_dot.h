#pragma once
// For tests and benchmarks: a product of random points of the lattice.

#include <cmath>
#include <random>

#include "format/families/vector/e8p.h"
#include "kernels/e8p_dot/e8p_dot.h"
#include "kernels/guarded.h"

namespace bitloom::testing {

struct RandomE8pDot {
  GuardedVector<uint16_t> codes;  // [rows, points]
  E8pTables tables;
  GuardedVector<float> x, y;
  GuardedVector<std::byte> scratch;
  E8pDotCall call;

  RandomE8pDot(const RandomE8pDot&) = delete;

  RandomE8pDot(int64_t rows, int64_t cols, int64_t tokens, bool exact, uint32_t seed)
      : tables(reinterpret_cast<const int8_t (*)[kE8pPoint]>(e8p_table().data())) {
    std::mt19937 random(seed);
    std::normal_distribution<float> normal;
    call.w = {nullptr, &tables, rows, cols, 0.25f};
    codes = guarded<uint16_t>(rows * call.w.points(), [&] { return static_cast<uint16_t>(random()); });
    x = guarded<float>(tokens * cols, [&] { return normal(random); });
    y.assign(static_cast<size_t>(tokens * rows), std::nanf(""));
    call.w.codes = reinterpret_cast<const std::byte*>(codes.data());
    call.last = rows, call.tokens = tokens, call.exact = exact;
    call.x = x.data(), call.y = y.data(), call.y_stride = rows;
    scratch = guarded_scratch(e8p_dot_scratch(call.w));
    call.scratch = scratch.data();
  }
};

}  // namespace bitloom::testing
