// Every kernel of the list on one thread, on a matrix larger than the caches: bytes of weights per second, as a share
// of this thread's read bandwidth, measured in turns with it. Seconds are of processor time.

#include <benchmark/benchmark.h>

#include <algorithm>
#include <ctime>
#include <vector>

#include "hardware/read_bandwidth.h"
#include "kernels/dense_dot/dense_dot.h"

namespace bitloom {
namespace {

double thread_seconds() {
  timespec now;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

void dense_dot(benchmark::State& state, const DenseDotEntry& entry) {
  constexpr int64_t kRows = 32768, kCols = 4096;
  const std::vector<std::byte> weights(static_cast<size_t>(bytes_of(entry.dtype, kRows * kCols)));
  const std::vector<float> x(kCols, 1.0f);
  std::vector<float> y(kRows);
  const DenseDotCall call = {weights.data(), nullptr, kCols, 0, kRows, 1, x.data(), y.data(), kRows};
  ThreadPool one(1);
  BandwidthProbe probe(one, bandwidth_buffer_bytes());
  double bandwidth = 0, least = 1e30;
  for (auto _ : state) {
    bandwidth = std::max(bandwidth, probe.pass(thread_seconds));
    const double begin = thread_seconds();
    entry.kernel(call);
    const double seconds = thread_seconds() - begin;
    least = std::min(least, seconds);
    state.SetIterationTime(seconds);
  }
  const double rate = static_cast<double>(weights.size()) / least;
  state.counters["GB/s"] = rate * 1e-9;
  state.counters["percent"] = 100 * rate / bandwidth;
}

const bool registered = [] {
  for (const DenseDotEntry& entry : dense_dot_kernels()) {
    if (!machine_has(entry.isa)) continue;
    benchmark::RegisterBenchmark(entry.name, [&entry](benchmark::State& state) { dense_dot(state, entry); })
        ->UseManualTime()
        ->Unit(benchmark::kMillisecond)
        ->Iterations(5);
  }
  return true;
}();

}  // namespace
}  // namespace bitloom
