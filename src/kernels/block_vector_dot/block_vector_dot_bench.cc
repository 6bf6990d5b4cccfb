// Every kernel of the list but the portable: weights and bytes per second, on one thread and on two, in the published
// settings.

#include <fmt/format.h>

#include "kernels/block_vector_dot/test_dot.h"
#include "kernels/kernel_bench.h"

namespace bitloom {
namespace {

constexpr int64_t kRows = 65536, kCols = 4096;

void block_vector_dot(benchmark::State& state, const BlockVectorDotEntry& entry, const char* text, int64_t tokens,
                      bool exact, int threads) {
  const testing::RandomBlockVectorDot dot(text, kRows, kCols, tokens, exact, 1);
  int64_t bytes = 0;
  for (const auto& part : dot.parts) bytes += static_cast<int64_t>(part.size());
  const double seconds =
      measure_shared(state, threads, bytes, entry.kernel, dot.call, block_vector_dot_scratch(dot.call.w));
  state.counters["Gweights/s"] = 1e-9 * static_cast<double>(kRows * kCols) / seconds;
}

const bool registered = [] {
  for (const BlockVectorDotEntry& entry : block_vector_dot_kernels()) {
    if (!machine_has(entry.isa) || entry.isa == Isa::kPortable) continue;
    for (const char* text : {"vq8-g4", "vq4-g2", "vq2-g1"}) {
      for (const int64_t tokens : {1, 8}) {
        for (const bool exact : {false, true}) {
          for (const int threads : {1, 2}) {
            register_kernel(
                fmt::format("{}/{}/{}/tokens:{}/threads:{}", entry.name, text, exact ? "24" : "16", tokens, threads),
                [&entry, text, tokens, exact, threads](benchmark::State& state) {
                  block_vector_dot(state, entry, text, tokens, exact, threads);
                });
          }
        }
      }
    }
  }
  return true;
}();

}  // namespace
}  // namespace bitloom
