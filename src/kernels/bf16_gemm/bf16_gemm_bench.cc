// Every kernel of the list: products per second of one thread, and their percentage of the thread's peak of BF16
// products, measured in turns with them.

#include <fmt/format.h>

#include <vector>

#include "hardware/dot_peak.h"
#include "kernels/bf16_gemm/test_input.h"
#include "kernels/kernel_bench.h"

namespace bitloom {
namespace {

void bf16_gemm(benchmark::State& state, const Bf16GemmEntry& entry, int64_t cols, int64_t tokens) {
  constexpr int64_t kRows = 512;
  testing::RandomBf16 random(kRows, cols, tokens, 1, false, 1);
  ThreadPool one(1);
  double least = 1e30, peak = 0;
  for (auto _ : state) {
    peak = std::max(peak, measure_dot_peak(one, thread_seconds).bf16);
    const double begin = thread_seconds();
    entry.kernel(random.call);
    const double seconds = thread_seconds() - begin;
    least = std::min(least, seconds);
    state.SetIterationTime(seconds);
  }
  const double rate = 2 * static_cast<double>(kRows * cols * tokens) / least;
  state.counters["GOP/s"] = 1e-9 * rate;
  if (peak > 0) state.counters["percent"] = 100 * rate / peak;
}

const bool registered = [] {
  for (const Bf16GemmEntry& entry : bf16_gemm_kernels()) {
    if (!machine_has(entry.isa)) continue;
    for (const int64_t cols : {576, 2048, 5632}) {
      for (const int64_t tokens : {8, 16, 512}) {
        register_kernel(fmt::format("{}/cols:{}/tokens:{}", entry.name, cols, tokens),
                        [&entry, cols, tokens](benchmark::State& state) { bf16_gemm(state, entry, cols, tokens); });
      }
    }
  }
  return true;
}();

}  // namespace
}  // namespace bitloom
