// Weights per second of rounding a whole matrix on one thread, beside decoding it alone.
#include <benchmark/benchmark.h>

#include "round/scale/scale_lanes.h"
#include "round/test_matrix.h"

namespace bitloom {
namespace {

constexpr int64_t kRows = 256, kCols = 2048;

void round_matrix(benchmark::State& state, const std::string& text) {
  const DenseMatrix w = testing::normal_matrix(kRows, kCols, 1);
  const GridTarget target = parse_grid_target(text);
  ThreadPool threads(1);
  for (auto _ : state) benchmark::DoNotOptimize(quantize_nearest("w", w, target, threads));
  state.SetItemsProcessed(state.iterations() * kRows * kCols);
}
BENCHMARK_CAPTURE(round_matrix, int4_g128, "int4-g128");
BENCHMARK_CAPTURE(round_matrix, int4_g128_asym, "int4-g128-asym");
BENCHMARK_CAPTURE(round_matrix, int8_row, "int8-row");
BENCHMARK_CAPTURE(round_matrix, mxfp4, "mxfp4");
BENCHMARK_CAPTURE(round_matrix, nvfp4, "nvfp4");
BENCHMARK_CAPTURE(round_matrix, nf4_g64, "nf4-g64");
BENCHMARK_CAPTURE(round_matrix, e4m3fn_row, "e4m3fn-row");
BENCHMARK_CAPTURE(round_matrix, int4_g128_mse, "int4-g128-mse");
BENCHMARK_CAPTURE(round_matrix, nf4_g64_mse, "nf4-g64-mse");
BENCHMARK_CAPTURE(round_matrix, int4_g128_asym_mse, "int4-g128-asym-mse");
BENCHMARK_CAPTURE(round_matrix, int4_g32_mse, "int4-g32-mse");
BENCHMARK_CAPTURE(round_matrix, int4_g128_clip, "int4-g128-mse2.4");
BENCHMARK_CAPTURE(round_matrix, int4_g128_p99, "int4-g128-p99");

/// Weights per second of one pass of the scale search, sixteen candidates at once; `plain`: by its definition.
void judge_scales(benchmark::State& state, const char* text, bool plain) {
  const GridStorage storage = parse_grid(text);
  const DenseMatrix w = testing::normal_matrix(1, 128, 1);
  const std::vector<float> h(128, 1.0f);
  ScaleLanes lanes;
  const float reach = limits_of(storage.format).max;
  for (size_t i = 0; i < kScaleLanes; ++i) lanes.scale[i] = (0.2f - 0.005f * static_cast<float>(i)) / reach;
  const auto judge = make_scale_judge(storage, Ties::kEven);
  for (auto _ : state) {
    if (plain) {
      judge_by_definition(storage, w.values().data(), h.data(), 128, lanes);
    } else {
      judge->judge(w.values().data(), h.data(), 128, true, lanes);
    }
    benchmark::DoNotOptimize(lanes);
  }
  state.SetItemsProcessed(state.iterations() * 128);
}
BENCHMARK_CAPTURE(judge_scales, int4, "int4-g128", false);
BENCHMARK_CAPTURE(judge_scales, int4_plain, "int4-g128", true);
BENCHMARK_CAPTURE(judge_scales, e2m1, "e2m1-g128", false);
BENCHMARK_CAPTURE(judge_scales, e4m3, "e4m3fn-g128", false);
BENCHMARK_CAPTURE(judge_scales, nf4, "nf4-g128", false);
BENCHMARK_CAPTURE(judge_scales, nf4_plain, "nf4-g128", true);

}  // namespace
}  // namespace bitloom
