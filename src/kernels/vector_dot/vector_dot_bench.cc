// Every kernel of the list: weights and bytes per second, on one thread and on two. M codebooks of 256 or 16 vectors of
// 8 weights.

#include <fmt/format.h>

#include "kernels/kernel_bench.h"
#include "kernels/vector_dot/test_dot.h"

namespace bitloom {
namespace {

constexpr int64_t kRows = 65536, kCols = 4096;

void vector_dot(benchmark::State& state, const VectorDotEntry& entry, int64_t codebooks, int bits, bool exact,
                int threads) {
  const testing::RandomVectorDot dot(codebooks, 8, kRows, kCols, 1, exact, 1, -1, bits);
  const double seconds = measure_shared(state, threads, static_cast<int64_t>(dot.parts[0].size()), entry.kernel,
                                        dot.call, vector_dot_scratch(dot.call.w));
  state.counters["Gweights/s"] = 1e-9 * static_cast<double>(kRows * kCols) / seconds;
}

const bool registered = [] {
  for (const VectorDotEntry& entry : vector_dot_kernels()) {
    if (!machine_has(entry.isa)) continue;
    for (const auto& [codebooks, bits] : {std::pair<int64_t, int>{1, 8}, {2, 8}, {4, 8}, {4, 4}}) {
      for (const bool exact : {false, true}) {
        for (const int threads : {1, 2}) {
          register_kernel(
              fmt::format("{}/{}x{}/{}/threads:{}", entry.name, codebooks, bits, exact ? "24" : "16", threads),
              [&entry, codebooks = codebooks, bits = bits, exact, threads](benchmark::State& state) {
                vector_dot(state, entry, codebooks, bits, exact, threads);
              });
        }
      }
    }
  }
  return true;
}();

}  // namespace
}  // namespace bitloom
