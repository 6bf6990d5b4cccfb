// Learned rounding, as GFLOP/s of its 2 rows x columns^2 operations per iteration and as a share of this machine's
// sgemm rate; and the optimizer's elementwise step alone.
#include <benchmark/benchmark.h>

#include <cstring>
#include <vector>

#include "base/rng.h"
#include "linalg/gemm.h"
#include "round/adaround/adaround.h"
#include "round/adaround/soft_rounding.h"
#include "round/bench_rows.h"

namespace bitloom {
namespace {

using testing::RandomRows;

void learned_rate(benchmark::State& state, bool descent) {
  ThreadPool threads;
  const int64_t rows = state.range(0), cols = state.range(1);
  const RandomRows w(rows, cols);
  std::vector<float> h(static_cast<size_t>(cols * cols), 0.1f);
  for (int64_t c = 0; c < cols; ++c) h[static_cast<size_t>(c * cols + c)] = 1.0f;
  AdaRounding options;
  options.iterations = state.range(2);
  options.descent = descent;
  const GridTarget target = parse_grid_target("int4-g64");
  const double roof = measure_sgemm_gflops(1024, 0.2, threads);
  for (auto _ : state) {
    benchmark::DoNotOptimize(
        quantize_adaround("w", w, target, LayerStatistics{cols, h.data(), nullptr}, options, threads));
  }
  const double flops = 2.0 * static_cast<double>(rows * cols * cols) * static_cast<double>(options.iterations) *
                       static_cast<double>(state.iterations());
  state.counters["GFLOP/s"] = benchmark::Counter(flops * 1e-9, benchmark::Counter::kIsRate);
  state.counters["of_sgemm"] = benchmark::Counter(flops * 1e-9 / roof, benchmark::Counter::kIsRate);
}
BENCHMARK_CAPTURE(learned_rate, learning, false)
    ->Args({576, 576, 100})
    ->Args({576, 1536, 100})
    ->Args({256, 4096, 20})
    ->Unit(benchmark::kMillisecond)
    ->UseRealTime();
BENCHMARK_CAPTURE(learned_rate, with_descent, true)
    ->Args({576, 576, 400})
    ->Unit(benchmark::kMillisecond)
    ->UseRealTime();

void soft_step_rate(benchmark::State& state) {
  const auto n = static_cast<size_t>(state.range(0));
  std::vector<float> base(n, -0.1f), step(n, 0.3f), alpha(n, 0.2f), first(n), second(n), dq(n, 0.1f), gain(n, 1.0f),
      deviation(n);
  const SoftRow row{base.data(), step.data(), alpha.data(), first.data(), second.data()};
  for (auto _ : state) {
    soft_step({0.5f, 5, 1e-6f}, row, dq.data(), gain.data(), state.range(0), deviation.data());
    benchmark::DoNotOptimize(deviation.data());
  }
  state.SetItemsProcessed(state.iterations() * state.range(0));
}
BENCHMARK(soft_step_rate)->Arg(64 * 576)->Arg(64 * 4096);

}  // namespace
}  // namespace bitloom
