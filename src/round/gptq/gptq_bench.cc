// The column loop, as GFLOP/s of its rows x columns^2 multiply-adds and as a share of this machine's sgemm rate.
#include <benchmark/benchmark.h>

#include <cstring>
#include <vector>

#include "base/rng.h"
#include "linalg/bench_roof.h"
#include "round/bench_rows.h"
#include "round/gptq/gptq.h"

namespace bitloom {
namespace {

using testing::RandomRows;

void feedback_rate(benchmark::State& state, const char* spec_text) {
  ThreadPool threads;
  const int64_t rows = state.range(0), cols = state.range(1);
  const RandomRows w(rows, cols);
  GptqFactor factor;
  factor.channels = cols;
  factor.u.assign(static_cast<size_t>(cols * cols), 0.001f);
  factor.diagonal.assign(static_cast<size_t>(cols), 1.0f);
  for (int64_t c = 0; c < cols; ++c) {
    factor.u[static_cast<size_t>(c * cols + c)] = 1.0f;
    factor.order.push_back(c);
  }
  const RoundingTarget target = parse_target(spec_text);
  // Every weight takes its part of the errors of the columns before it: rows * cols^2 / 2 multiply-adds.
  const double flops = static_cast<double>(rows) * static_cast<double>(cols) * static_cast<double>(cols);
  testing::run_beside_sgemm(
      state, threads, flops, [] {},
      [&] { benchmark::DoNotOptimize(quantize_gptq("w", w, target, factor, false, threads)); });
}
BENCHMARK_CAPTURE(feedback_rate, int4_g128, "int4-g128")
    ->Args({576, 576})
    ->Args({4096, 4096})
    ->Args({4096, 11008})
    ->Unit(benchmark::kMillisecond)
    ->UseManualTime()
    ->Iterations(5);
BENCHMARK_CAPTURE(feedback_rate, int4_row, "int4-row")
    ->Args({4096, 4096})
    ->Unit(benchmark::kMillisecond)
    ->UseManualTime()
    ->Iterations(5);
BENCHMARK_CAPTURE(feedback_rate, mxfp4, "mxfp4")
    ->Args({4096, 4096})
    ->Unit(benchmark::kMillisecond)
    ->UseManualTime()
    ->Iterations(5);

}  // namespace
}  // namespace bitloom
