// Every kernel of the list that this machine can run against the definition, in double precision.

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "kernels/dot_test.h"
#include "kernels/plane_dot/test_dot.h"

namespace bitloom {
namespace {

using testing::RandomPlaneDot;

void expect_definition(const PlaneDotEntry& entry, const RandomPlaneDot& dot) {
  entry.kernel(dot.call);
  const int64_t rows = dot.call.w.rows, cols = dot.call.w.cols, block = dot.storage.width(cols);
  for (int64_t t = 0; t < dot.call.tokens; ++t) {
    const float* x = dot.x.data() + t * cols;
    double greatest = 0;
    for (int64_t c = 0; c < cols; ++c) greatest = std::max(greatest, std::abs(static_cast<double>(x[c])));
    for (int64_t r = 0; r < rows; ++r) {
      double want = 0, size = 0;
      for (int64_t c = 0; c < cols; ++c) {
        const PlaneLevels& level = dot.levels[static_cast<size_t>(r * dot.storage.blocks(cols) + c / block)];
        float value[2][4];
        level.values(value);
        want += static_cast<double>(
                    value[dot.salient[static_cast<size_t>(c)]][dot.codes[static_cast<size_t>(r * cols + c)]]) *
                x[c];
        size += std::abs(level.mu_c) + std::abs(level.alpha_c) + std::abs(level.mu_o) + std::abs(level.alpha_o) +
                std::abs(level.mu_s) + std::abs(level.alpha_1) + std::abs(level.alpha_2);
      }
      // Every column's part of S, T, U errs by at most half a step of the greatest sum of four of x (24 bits by one
      // step), times at most twice the levels; sums in fp32 round as often as there are words and blocks.
      const double step = 4 * greatest * (dot.call.exact ? 1.0 / (127 << 16) : 0.5 / (127 << 8));
      EXPECT_NEAR(dot.y[static_cast<size_t>(t * rows + r)], want, 4 * size * (step + 1e-6 * greatest))
          << entry.name << " " << to_string(dot.storage) << " " << rows << " x " << cols << " row " << r;
    }
  }
}

TEST(PlaneDot, EveryKernelEqualsTheDefinition) {
  uint32_t seed = 0;
  for (const PlaneDotEntry& entry : plane_dot_kernels()) {
    if (!machine_has(entry.isa)) continue;
    for (const auto& [rows, cols] : {std::pair<int64_t, int64_t>{1, 1}, {16, 8}, {70, 300}, {33, 130}}) {
      for (const bool exact : {true, false}) {
        for (const PlanesStorage& storage :
             {PlanesStorage{.fp8 = true}, PlanesStorage{.block = 48}, PlanesStorage{.block = 20, .zero_mean = true},
              PlanesStorage{.block = 64, .residual = true}}) {
          ++seed;
          expect_definition(entry, {storage, rows, cols, 1 + seed % 2, exact, seed});
        }
      }
    }
  }
}

TEST(PlaneDot, TilesStandAlone) {
  for (const PlaneDotEntry& entry : plane_dot_kernels()) {
    if (!machine_has(entry.isa)) continue;
    RandomPlaneDot whole({.fp8 = true}, 150, 200, 1, true, 2), parts({.fp8 = true}, 150, 200, 1, true, 2);
    testing::expect_parts_stand_alone(entry, whole, parts, {{0, 1}, {1, 6}, {6, 10}});
  }
}

}  // namespace
}  // namespace bitloom
