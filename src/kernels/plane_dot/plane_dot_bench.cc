// Every kernel of the list: weights and bytes of codes and levels per second, on one thread and on two.

#include <fmt/format.h>

#include "kernels/kernel_bench.h"
#include "kernels/plane_dot/test_dot.h"

namespace bitloom {
namespace {

constexpr int64_t kRows = 16384, kCols = 8192;

void plane_dot(benchmark::State& state, const PlaneDotEntry& entry, bool exact, int threads) {
  const testing::RandomPlaneDot dot({.fp8 = true}, kRows, kCols, 1, exact, 1);
  int64_t bytes = 0;
  for (const auto& part : dot.parts) bytes += static_cast<int64_t>(part.size());
  const double seconds = measure_shared(state, threads, bytes, entry.kernel, dot.call, plane_dot_scratch(dot.call.w));
  state.counters["Gweights/s"] = 1e-9 * static_cast<double>(kRows * kCols) / seconds;
}

const bool registered = [] {
  for (const PlaneDotEntry& entry : plane_dot_kernels()) {
    if (!machine_has(entry.isa) || entry.isa == Isa::kPortable) continue;
    for (const bool exact : {false, true}) {
      for (const int threads : {1, 2}) {
        register_kernel(fmt::format("{}/{}/threads:{}", entry.name, exact ? "24" : "16", threads),
                        [&entry, exact, threads](benchmark::State& state) { plane_dot(state, entry, exact, threads); });
      }
    }
  }
  return true;
}();

}  // namespace
}  // namespace bitloom
