#pragma once
// For benchmarks: one kernel on one thread, or on as many as share its rows, on a matrix larger than a thread's caches.

#include <benchmark/benchmark.h>

#include <algorithm>
#include <ctime>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/threads.h"
#include "hardware/read_bandwidth.h"

namespace bitloom {

/// Seconds of this thread's processor time, which do not count other programs' turns.
inline double thread_seconds() {
  timespec now;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

/// The least seconds of product() by `clock`, which reads `bytes` of weights; counts GB/s, and their percentage of the
/// pool's read bandwidth, measured in turns with it by the same clock.
template <typename Product>
double measure_on(benchmark::State& state, ThreadPool& threads, const std::function<double()>& clock, int64_t bytes,
                  const Product& product) {
  BandwidthProbe probe(threads, bandwidth_buffer_bytes());
  double bandwidth = 0, least = 1e30;
  for (auto _ : state) {
    bandwidth = std::max(bandwidth, probe.pass(clock));
    const double begin = clock();
    product();
    const double seconds = clock() - begin;
    least = std::min(least, seconds);
    state.SetIterationTime(seconds);
  }
  const double rate = static_cast<double>(bytes) / least;
  state.counters["GB/s"] = rate * 1e-9;
  state.counters["percent"] = 100 * rate / bandwidth;
  return least;
}

/// On one thread, by its processor time.
template <typename Product>
double measure_kernel(benchmark::State& state, int64_t bytes, const Product& product) {
  ThreadPool one(1);
  return measure_on(state, one, thread_seconds, bytes, product);
}

/// On `count` threads, each with its share of the call's tiles and a scratch of its own; more than one by the wall's
/// clock, which wants an idle machine.
template <typename Call>
double measure_shared(benchmark::State& state, int count, int64_t bytes, void (*kernel)(const Call&), const Call& call,
                      int64_t scratch_bytes) {
  constexpr int64_t kAlignment = 64;
  ThreadPool threads(count);
  std::vector<std::vector<std::byte>> scratches(static_cast<size_t>(count));
  std::vector<Call> calls(static_cast<size_t>(count), call);
  for (int i = 0; i < count; ++i) {
    std::vector<std::byte>& own = scratches[static_cast<size_t>(i)];
    own.resize(static_cast<size_t>(scratch_bytes + kAlignment));
    void* at = own.data();
    size_t space = own.size();
    Call& part = calls[static_cast<size_t>(i)];
    part.scratch = static_cast<std::byte*>(std::align(kAlignment, static_cast<size_t>(scratch_bytes), at, space));
    part.first = call.first + (call.last - call.first) * i / count;
    part.last = call.first + (call.last - call.first) * (i + 1) / count;
  }
  const Stopwatch watch;
  const auto wall = [&watch] { return watch.seconds(); };
  return measure_on(state, threads, count == 1 ? std::function<double()>(thread_seconds) : wall, bytes,
                    [&] { threads.parallel_for(count, [&](int64_t i) { kernel(calls[static_cast<size_t>(i)]); }); });
}

/// Registered as every kernel's is.
template <typename Body>
void register_kernel(const std::string& name, const Body& body) {
  benchmark::RegisterBenchmark(name.c_str(), body)->UseManualTime()->Unit(benchmark::kMillisecond)->Iterations(5);
}

}  // namespace bitloom
