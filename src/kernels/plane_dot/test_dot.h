#pragma once
// For tests and benchmarks: a product of random binary planes with random vectors.

#include <cmath>
#include <memory>
#include <random>
#include <vector>

#include "format/families/planes/planes_matrix.h"
#include "kernels/guarded.h"
#include "kernels/plane_dot/plane_dot.h"

namespace bitloom::testing {

struct RandomPlaneDot {
  PlanesStorage storage;
  std::vector<uint8_t> codes, salient;
  std::vector<PlaneLevels> levels;  // as stored
  std::vector<GuardedVector<std::byte>> parts;
  std::unique_ptr<PlaneLayout> layout;
  GuardedVector<float> x, y;
  GuardedVector<std::byte> scratch;
  PlaneDotCall call;

  RandomPlaneDot(const PlanesStorage& planes, int64_t rows, int64_t cols, int64_t tokens, bool exact, uint32_t seed)
      : storage(planes) {
    std::mt19937 random(seed);
    std::normal_distribution<float> normal;
    for (int64_t i = 0; i < rows * cols; ++i) codes.push_back(random() % 4);
    for (int64_t c = 0; c < cols; ++c) salient.push_back(planes.residual || random() % 10 == 0 ? 1 : 0);
    std::vector<float> scales;
    for (int64_t r = 0; r < rows; ++r) scales.push_back(level_scale(planes, 4 + static_cast<float>(r % 3)));
    for (int64_t i = 0; i < rows * planes.blocks(cols); ++i) {
      PlaneLevels level = {normal(random), normal(random), normal(random), normal(random),
                           normal(random), normal(random), normal(random)};
      round_levels(planes, scales[static_cast<size_t>(i / planes.blocks(cols))], level);
      levels.push_back(level);
    }
    parts = guarded(pack_planes(planes, rows, cols, codes, salient, levels, scales));
    layout = std::make_unique<PlaneLayout>(salient, planes.width(cols));
    x = guarded<float>(tokens * cols, [&] { return normal(random); });
    y.assign(static_cast<size_t>(tokens * rows), std::nanf(""));
    call.w.codes = parts[0].data();
    call.w.levels = parts[planes.residual ? 1 : 2].data();
    call.w.level_scales = planes.fp8 ? parts.back().data() : nullptr;
    call.w.layout = layout.get();
    call.w.places = level_places(planes), call.w.level_count = planes.levels();
    call.w.rows = rows, call.w.cols = cols;
    call.last = tiles_of(rows), call.tokens = tokens, call.exact = exact;
    call.x = x.data(), call.y = y.data(), call.y_stride = rows;
    scratch = guarded_scratch(plane_dot_scratch(call.w));
    call.scratch = scratch.data();
  }
  RandomPlaneDot(const RandomPlaneDot&) = delete;
};

}  // namespace bitloom::testing
