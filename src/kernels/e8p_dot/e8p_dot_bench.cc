// Every kernel of the list: weights and bytes of codes per second, on one thread and on two.

#include <fmt/format.h>

#include "kernels/e8p_dot/test_dot.h"
#include "kernels/kernel_bench.h"

namespace bitloom {
namespace {

constexpr int64_t kRows = 65536, kCols = 4096;

void e8p_dot(benchmark::State& state, const E8pDotEntry& entry, int64_t tokens, bool exact, int threads) {
  const testing::RandomE8pDot dot(kRows, kCols, tokens, exact, 1);
  const double seconds = measure_shared(state, threads, 2 * static_cast<int64_t>(dot.codes.size()), entry.kernel,
                                        dot.call, e8p_dot_scratch(dot.call.w));
  state.counters["Gweights/s"] = 1e-9 * static_cast<double>(kRows * kCols) / seconds;
}

const bool registered = [] {
  for (const E8pDotEntry& entry : e8p_dot_kernels()) {
    if (!machine_has(entry.isa) || entry.isa == Isa::kPortable) continue;
    for (const int64_t tokens : {1, 8}) {
      for (const bool exact : {false, true}) {
        for (const int threads : {1, 2}) {
          register_kernel(fmt::format("{}/{}/tokens:{}/threads:{}", entry.name, exact ? "24" : "16", tokens, threads),
                          [&entry, tokens, exact, threads](benchmark::State& state) {
                            e8p_dot(state, entry, tokens, exact, threads);
                          });
        }
      }
    }
  }
  return true;
}();

}  // namespace
}  // namespace bitloom
