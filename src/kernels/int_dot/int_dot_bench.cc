// Every kernel of the list on one thread, on a matrix larger than the caches: bytes of codes and scales per second, as
// a share of this thread's read bandwidth, measured in turns with it. Seconds are of processor time.

#include <benchmark/benchmark.h>

#include <algorithm>
#include <ctime>

#include "hardware/read_bandwidth.h"
#include "kernels/int_dot/int_dot.h"
#include "kernels/int_dot/test_matrix.h"

namespace bitloom {
namespace {

/// Seconds of this thread's processor time, which do not count other programs' turns.
double thread_seconds() {
  timespec now;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

constexpr int64_t kRows = 65536, kCols = 4096, kGroup = 128;

void int_dot(benchmark::State& state, const IntDotEntry& entry, int64_t tokens) {
  const testing::RandomDot dot({.rows = kRows, .cols = kCols, .tokens = tokens, .group = kGroup}, entry, 1);
  const int64_t bytes = kRows * (dot.call.w.row_bytes + dot.call.w.scale_row_bytes);
  ThreadPool one(1);
  BandwidthProbe probe(one, bandwidth_buffer_bytes());
  double bandwidth = 0, least = 1e30;
  for (auto _ : state) {
    bandwidth = std::max(bandwidth, probe.pass(thread_seconds));
    const double begin = thread_seconds();
    entry.kernel(dot.call);
    const double seconds = thread_seconds() - begin;
    least = std::min(least, seconds);
    state.SetIterationTime(seconds);
  }
  const double rate = static_cast<double>(bytes) / least;
  state.counters["GB/s"] = rate * 1e-9;
  state.counters["percent"] = 100 * rate / bandwidth;
  state.counters["GFLOP/s"] = 2e-9 * static_cast<double>(kRows * kCols * tokens) / least;
}

const bool registered = [] {
  for (const IntDotEntry& entry : int_dot_kernels()) {
    if (!machine_has(entry.isa) || entry.codes > CodeKind::kTable) continue;
    for (const int64_t tokens : {1, 8}) {
      const std::string name = std::string(entry.name) + "/tokens:" + std::to_string(tokens);
      benchmark::RegisterBenchmark(name.c_str(),
                                   [&entry, tokens](benchmark::State& state) { int_dot(state, entry, tokens); })
          ->UseManualTime()
          ->Unit(benchmark::kMillisecond)
          ->Iterations(5);
    }
  }
  return true;
}();

}  // namespace
}  // namespace bitloom
