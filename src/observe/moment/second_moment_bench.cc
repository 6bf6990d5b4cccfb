// Accumulation of X^T X, as GFLOP/s (of the half that is computed) and as a share of this machine's sgemm rate.
#include <benchmark/benchmark.h>

#include <vector>

#include "linalg/bench_roof.h"
#include "observe/moment/second_moment.h"

namespace bitloom {
namespace {

void accumulate_rate(benchmark::State& state) {
  ThreadPool threads;
  const int64_t channels = state.range(0), tokens = 2048;
  const std::vector<float> x(static_cast<size_t>(channels * tokens), 0.5f);
  SecondMoment moment(channels);
  // What a symmetric update must do: tokens * channels * (channels + 1) / 2 multiply-adds.
  const double flops = static_cast<double>(channels * (channels + 1) * tokens);
  testing::run_beside_sgemm(
      state, threads, flops, [] {}, [&] { moment.add(x.data(), tokens, channels, threads); });
}
BENCHMARK(accumulate_rate)
    ->Arg(576)
    ->Arg(1536)
    ->Arg(4096)
    ->Arg(11008)
    ->Unit(benchmark::kMillisecond)
    ->UseManualTime()
    ->Iterations(5);

}  // namespace
}  // namespace bitloom
