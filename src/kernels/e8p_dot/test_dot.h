#pragma once
// For tests and benchmarks: a product of random points of the lattice.

#include <cmath>
#include <memory>
#include <random>
#include <vector>

#include "format/families/vector/e8p.h"
#include "kernels/e8p_dot/e8p_dot.h"

namespace bitloom::testing {

struct RandomE8pDot {
  std::vector<uint16_t> codes;  // [rows, points]
  E8pTables tables;
  std::vector<float> x, y;
  std::vector<std::byte> scratch;
  E8pDotCall call;

  RandomE8pDot(const RandomE8pDot&) = delete;

  RandomE8pDot(int64_t rows, int64_t cols, int64_t tokens, bool exact, uint32_t seed)
      : tables(reinterpret_cast<const int8_t (*)[kE8pPoint]>(e8p_table().data())) {
    std::mt19937 random(seed);
    std::normal_distribution<float> normal;
    call.w = {nullptr, &tables, rows, cols, 0.25f};
    for (int64_t i = 0; i < rows * call.w.points(); ++i) codes.push_back(static_cast<uint16_t>(random()));
    for (int64_t i = 0; i < tokens * cols; ++i) x.push_back(normal(random));
    y.assign(static_cast<size_t>(tokens * rows), std::nanf(""));
    call.w.codes = reinterpret_cast<const std::byte*>(codes.data());
    call.last = rows, call.tokens = tokens, call.exact = exact;
    call.x = x.data(), call.y = y.data(), call.y_stride = rows;
    scratch.resize(static_cast<size_t>(e8p_dot_scratch(call.w)) + 64);
    void* at = scratch.data();
    size_t space = scratch.size();
    call.scratch = static_cast<std::byte*>(std::align(64, space - 64, at, space));
  }
};

}  // namespace bitloom::testing
