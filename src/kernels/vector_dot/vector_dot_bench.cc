// Every kernel of the list: weights and bytes per second, on one thread. M codebooks of 256 vectors of 8 weights.

#include <fmt/format.h>

#include "kernels/kernel_bench.h"
#include "kernels/vector_dot/test_dot.h"

namespace bitloom {
namespace {

constexpr int64_t kRows = 65536, kCols = 4096;

void vector_dot(benchmark::State& state, const VectorDotEntry& entry, int64_t codebooks, bool exact) {
  const testing::RandomVectorDot dot(codebooks, 8, kRows, kCols, 1, exact, 1);
  const double seconds =
      measure_kernel(state, static_cast<int64_t>(dot.parts[0].size()), [&] { entry.kernel(dot.call); });
  state.counters["Gweights/s"] = 1e-9 * static_cast<double>(kRows * kCols) / seconds;
}

const bool registered = [] {
  for (const VectorDotEntry& entry : vector_dot_kernels()) {
    if (!machine_has(entry.isa)) continue;
    for (const int64_t codebooks : {1, 2, 4}) {
      for (const bool exact : {false, true}) {
        register_kernel(
            fmt::format("{}/{}x8/{}", entry.name, codebooks, exact ? "24" : "16"),
            [&entry, codebooks, exact](benchmark::State& state) { vector_dot(state, entry, codebooks, exact); });
      }
    }
  }
  return true;
}();

}  // namespace
}  // namespace bitloom
