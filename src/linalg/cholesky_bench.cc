// The factorization of error feedback, as GFLOP/s and as a share of this machine's sgemm rate.
#include <benchmark/benchmark.h>

#include <vector>

#include "linalg/bench_roof.h"
#include "linalg/cholesky.h"

namespace bitloom {
namespace {

void factor_rate(benchmark::State& state) {
  ThreadPool threads;
  const int64_t n = state.range(0);
  std::vector<float> h(static_cast<size_t>(n * n), 0.5f), work;
  for (int64_t i = 0; i < n; ++i) h[static_cast<size_t>(i * n + i)] = 1.0f;
  const auto edge = static_cast<double>(n);
  // n^3 / 6 multiply-adds for the factor of a symmetric matrix, n^3 / 6 for a triangular inverse.
  const double flops = 2.0 / 3.0 * edge * edge * edge;
  testing::run_beside_sgemm(
      state, threads, flops, [&] { work = h; },
      [&] {
        reversed_cholesky(work.data(), n, threads);
        invert_upper(work.data(), n, threads);
      });
}
BENCHMARK(factor_rate)->Arg(1024)->Arg(4096)->Arg(11008)->Unit(benchmark::kMillisecond)->UseManualTime()->Iterations(5);

}  // namespace
}  // namespace bitloom
