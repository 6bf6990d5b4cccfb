// Accumulation of X^T X, as GFLOP/s (of the half that is computed) and as a share of this machine's sgemm rate.
#include <benchmark/benchmark.h>

#include <vector>

#include "linalg/gemm.h"
#include "observe/second_moment.h"

namespace bitloom {
namespace {

void accumulate_rate(benchmark::State& state) {
  ThreadPool threads;
  const int64_t channels = state.range(0), tokens = 2048;
  const std::vector<float> x(static_cast<size_t>(channels * tokens), 0.5f);
  SecondMoment moment(channels);
  const double roof = measure_sgemm_gflops(1024, 0.2, threads);
  for (auto _ : state) moment.add(x.data(), tokens, channels, threads);
  const double flops =
      static_cast<double>(channels * (channels + 1) * tokens) * static_cast<double>(state.iterations());
  state.counters["GFLOP/s"] = benchmark::Counter(flops * 1e-9, benchmark::Counter::kIsRate);
  state.counters["of_sgemm"] = benchmark::Counter(flops * 1e-9 / roof, benchmark::Counter::kIsRate);
}
BENCHMARK(accumulate_rate)->Arg(576)->Arg(1536)->Arg(4096)->Arg(11008)->Unit(benchmark::kMillisecond)->UseRealTime();

}  // namespace
}  // namespace bitloom
