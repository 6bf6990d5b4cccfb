// Every kernel of the list: bytes per second, on one thread.

#include "kernels/kernel_bench.h"
#include "kernels/partial_dot/test_dot.h"

namespace bitloom {
namespace {

void partial_dot(benchmark::State& state, const PartialDotEntry& entry) {
  const testing::RandomPartialDot dot(16384, 8192, 1, 1);
  int64_t bytes = 0;
  for (const auto& part : dot.parts) bytes += static_cast<int64_t>(part.size());
  measure_kernel(state, bytes, [&] { entry.kernel(dot.call); });
}

const bool registered = [] {
  for (const PartialDotEntry& entry : partial_dot_kernels()) {
    if (!machine_has(entry.isa)) continue;
    register_kernel(entry.name, [&entry](benchmark::State& state) { partial_dot(state, entry); });
  }
  return true;
}();

}  // namespace
}  // namespace bitloom
