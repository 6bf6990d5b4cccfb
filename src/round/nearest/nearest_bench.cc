// Weights per second of rounding a whole matrix on one thread, beside decoding it alone.
#include <benchmark/benchmark.h>

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
BENCHMARK_CAPTURE(round_matrix, int4_g128_p99, "int4-g128-p99");

}  // namespace
}  // namespace bitloom
