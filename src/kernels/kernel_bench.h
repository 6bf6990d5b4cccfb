#pragma once
// For benchmarks: one kernel on one thread, on a matrix larger than the caches.

#include <benchmark/benchmark.h>

#include <algorithm>
#include <ctime>
#include <string>

#include "hardware/read_bandwidth.h"

namespace bitloom {

/// Seconds of this thread's processor time, which do not count other programs' turns.
inline double thread_seconds() {
  timespec now;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

/// The least seconds of product(), which reads `bytes` of weights; counts GB/s, and their percentage of this thread's
/// read bandwidth, measured in turns with it.
template <typename Product>
double measure_kernel(benchmark::State& state, int64_t bytes, const Product& product) {
  ThreadPool one(1);
  BandwidthProbe probe(one, bandwidth_buffer_bytes());
  double bandwidth = 0, least = 1e30;
  for (auto _ : state) {
    bandwidth = std::max(bandwidth, probe.pass(thread_seconds));
    const double begin = thread_seconds();
    product();
    const double seconds = thread_seconds() - begin;
    least = std::min(least, seconds);
    state.SetIterationTime(seconds);
  }
  const double rate = static_cast<double>(bytes) / least;
  state.counters["GB/s"] = rate * 1e-9;
  state.counters["percent"] = 100 * rate / bandwidth;
  return least;
}

/// Registered as every kernel's is.
template <typename Body>
void register_kernel(const std::string& name, const Body& body) {
  benchmark::RegisterBenchmark(name.c_str(), body)->UseManualTime()->Unit(benchmark::kMillisecond)->Iterations(5);
}

}  // namespace bitloom
