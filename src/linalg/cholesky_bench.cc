// The factorization of error feedback, as GFLOP/s and as a share of this machine's sgemm rate.
#include <benchmark/benchmark.h>

#include <vector>

#include "linalg/cholesky.h"
#include "linalg/gemm.h"

namespace bitloom {
namespace {

void factor_rate(benchmark::State& state) {
  ThreadPool threads;
  const int64_t n = state.range(0);
  std::vector<float> h(static_cast<size_t>(n * n), 0.5f), work;
  for (int64_t i = 0; i < n; ++i) h[static_cast<size_t>(i * n + i)] = 1.0f;
  const double roof = measure_sgemm_gflops(1024, 0.2, threads);
  for (auto _ : state) {
    state.PauseTiming();
    work = h;
    state.ResumeTiming();
    reversed_cholesky(work.data(), n, threads);
    invert_upper(work.data(), n, threads);
    benchmark::DoNotOptimize(work.data());
  }
  const auto edge = static_cast<double>(n);
  const double flops = 2.0 / 3.0 * edge * edge * edge * static_cast<double>(state.iterations());
  state.counters["GFLOP/s"] = benchmark::Counter(flops * 1e-9, benchmark::Counter::kIsRate);
  state.counters["of_sgemm"] = benchmark::Counter(flops * 1e-9 / roof, benchmark::Counter::kIsRate);
}
BENCHMARK(factor_rate)->Arg(1024)->Arg(4096)->Arg(11008)->Unit(benchmark::kMillisecond)->UseRealTime();

}  // namespace
}  // namespace bitloom
