// Every kernel of the list: edges of the trellis per second, states of 16 bits, on one thread.

#include <fmt/format.h>

#include "kernels/kernel_bench.h"
#include "kernels/trellis_search/test_step.h"

namespace bitloom {
namespace {

void search(benchmark::State& state, const TrellisSearchEntry& entry, int k, bool two_values) {
  testing::RandomStep random(16, k, k, two_values, 1);
  random.next.resize(random.best.size());
  constexpr int kSteps = 256;
  random.step.next = random.next.data();
  double least_seconds = 1e30;
  for (auto _ : state) {
    const double begin = thread_seconds();
    for (int i = 0; i < kSteps; ++i) {
      random.least = entry.kernel(random.step, random.least);
      std::swap(random.best, random.next);
      random.step.best = random.best.data(), random.step.next = random.next.data();
    }
    const double seconds = thread_seconds() - begin;
    least_seconds = std::min(least_seconds, seconds);
    state.SetIterationTime(seconds);
  }
  state.counters["G edges/s"] = 65536.0 * kSteps / least_seconds * 1e-9;
}

const bool registered = [] {
  for (const TrellisSearchEntry& entry : trellis_search_kernels()) {
    if (!machine_has(entry.isa)) continue;
    for (const auto& [k, two_values] : {std::pair<int, bool>{2, true}, {4, true}, {3, false}, {4, false}}) {
      register_kernel(fmt::format("{}/v{}/k:{}", entry.name, two_values ? 2 : 1, k),
                      [&entry, k, two_values](benchmark::State& state) { search(state, entry, k, two_values); });
    }
  }
  return true;
}();

}  // namespace
}  // namespace bitloom
