// Every kernel of the list that this machine can run against the definition, in double precision.

#include <gtest/gtest.h>

#include <cmath>

#include "base/memory/dtype.h"
#include "kernels/column_dot/test_dot.h"
#include "kernels/dot_test.h"

namespace bitloom {
namespace {

using testing::random_columns;
using testing::RandomColumnDot;

void expect_definition(const ColumnDotEntry& entry, const RandomColumnDot& dot) {
  entry.kernel(dot.call);
  const int64_t rows = dot.call.w.rows, cols = dot.call.w.cols;
  for (int64_t t = 0; t < dot.call.tokens; ++t) {
    const float* x = dot.x.data() + t * cols;
    double greatest = 0;  // of all products
    for (int64_t c = 0; c < cols; ++c) {
      for (const float level : dot.columns[static_cast<size_t>(c)].table) {
        greatest = std::max(greatest, std::abs(static_cast<double>(level) * x[c]));
      }
    }
    for (int64_t r = 0; r < rows; ++r) {
      double want = 0, size = 0;
      for (int64_t c = 0; c < cols; ++c) {
        const CodebookColumn& column = dot.columns[static_cast<size_t>(c)];
        const float level = f16_to_f32(f32_to_f16(column.table[column.codes[static_cast<size_t>(r)]]));
        want += static_cast<double>(level) * x[c], size += std::abs(static_cast<double>(level) * x[c]);
      }
      // Each column's part of a sum errs by at most half a step of the greatest sum of four products, and as many
      // roundings in fp32 as there are words; 24 bits by one step.
      const double step = 4 * greatest * (dot.call.exact ? 1.0 / (127 << 16) : 0.5 / (127 << 8));
      EXPECT_NEAR(dot.y[static_cast<size_t>(t * rows + r)], want, static_cast<double>(cols) * (step + 6e-8 * size))
          << entry.name << " " << rows << " x " << cols << " exact " << dot.call.exact << " row " << r;
    }
  }
}

TEST(ColumnDot, EveryKernelEqualsTheDefinition) {
  const auto two = [](int64_t) { return 2; };
  const auto nibbles = [](int64_t c) { return 1 << (c * 7 % 5 % 3); };
  const auto any = [](int64_t c) { return static_cast<int>(c * 5 % 8) + 1; };
  uint32_t seed = 0;
  for (const ColumnDotEntry& entry : column_dot_kernels()) {
    if (!machine_has(entry.isa)) continue;
    for (const auto& [rows, cols] : {std::pair<int64_t, int64_t>{1, 1}, {16, 5}, {70, 41}, {96, 64}, {33, 3}}) {
      for (const bool exact : {true, false}) {
        ++seed;
        expect_definition(entry, {random_columns(rows, cols, two, seed), 2, exact, seed});
        expect_definition(entry, {random_columns(rows, cols, nibbles, seed), 1, exact, seed});
        expect_definition(entry, {random_columns(rows, cols, any, seed), 3, exact, seed});
      }
    }
  }
}

TEST(ColumnDot, TilesStandAlone) {
  const auto any = [](int64_t c) { return static_cast<int>(c % 5) + 1; };
  for (const ColumnDotEntry& entry : column_dot_kernels()) {
    if (!machine_has(entry.isa)) continue;
    RandomColumnDot whole(random_columns(150, 77, any, 1), 1, true, 2),
        parts(random_columns(150, 77, any, 1), 1, true, 2);
    testing::expect_parts_stand_alone(entry, whole, parts, {{0, 1}, {1, 7}, {7, 10}});
  }
}

TEST(ColumnDot, ValuesThatAreNotFiniteAreSeen) {
  for (const ColumnDotEntry& entry : column_dot_kernels()) {
    if (!machine_has(entry.isa)) continue;
    for (const bool exact : {true, false}) {
      RandomColumnDot dot(random_columns(
                              16, 40, [](int64_t) { return 2; }, 1),
                          1, exact, 2);
      dot.x[17] = INFINITY;
      entry.kernel(dot.call);
      for (const float value : dot.y) EXPECT_FALSE(std::isfinite(value)) << entry.name;
    }
  }
}

}  // namespace
}  // namespace bitloom
