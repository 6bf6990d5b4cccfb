// Every kernel of the list: bytes of entries per second, on one thread; a hundredth of a matrix of 4096 columns.

#include "kernels/kernel_bench.h"
#include "kernels/sparse_dot/test_dot.h"

namespace bitloom {
namespace {

void sparse_dot(benchmark::State& state, const SparseDotEntry& entry) {
  const testing::RandomSparseDot dot(262144, 4096, 82, 1, 1);
  measure_kernel(state, static_cast<int64_t>(4 * dot.values.size()), [&] { entry.kernel(dot.call); });
}

const bool registered = [] {
  for (const SparseDotEntry& entry : sparse_dot_kernels()) {
    if (!machine_has(entry.isa)) continue;
    register_kernel(entry.name, [&entry](benchmark::State& state) { sparse_dot(state, entry); });
  }
  return true;
}();

}  // namespace
}  // namespace bitloom
