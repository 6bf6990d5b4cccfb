#pragma once
// For benchmarks only: a rate beside this machine's sgemm, measured in turns, so that other work on the machine weighs
// on both; best of all turns against best of all turns.

#include <benchmark/benchmark.h>

#include <algorithm>

#include "base/clock.h"
#include "linalg/gemm.h"

namespace bitloom::testing {

/// Times operation() once per iteration, after prepare(), which is not timed. Counters: GFLOP/s and share of sgemm.
template <typename Prepare, typename Operation>
void run_beside_sgemm(benchmark::State& state, ThreadPool& threads, double flops, const Prepare& prepare,
                      const Operation& operation) {
  double roof = 0, least = 1e30;
  for (auto _ : state) {
    roof = std::max(roof, measure_sgemm_gflops(1024, 0.1, threads));
    prepare();
    const Stopwatch watch;
    operation();
    const double seconds = watch.seconds();
    least = std::min(least, seconds);
    state.SetIterationTime(seconds);
  }
  state.counters["GFLOP/s"] = flops / least * 1e-9;
  state.counters["of_sgemm"] = flops / least * 1e-9 / roof;
}

}  // namespace bitloom::testing
