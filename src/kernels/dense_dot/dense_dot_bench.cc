// Every kernel of the list: bytes of weights per second.

#include <vector>

#include "kernels/dense_dot/dense_dot.h"
#include "kernels/kernel_bench.h"

namespace bitloom {
namespace {

void dense_dot(benchmark::State& state, const DenseDotEntry& entry) {
  constexpr int64_t kRows = 32768, kCols = 4096;
  const std::vector<std::byte> weights(static_cast<size_t>(bytes_of(entry.dtype, kRows * kCols)));
  const std::vector<float> x(kCols, 1.0f);
  std::vector<float> y(kRows);
  const DenseDotCall call = {weights.data(), nullptr, kCols, 0, kRows, 1, x.data(), y.data(), kRows};
  measure_kernel(state, static_cast<int64_t>(weights.size()), [&] { entry.kernel(call); });
}

const bool registered = [] {
  for (const DenseDotEntry& entry : dense_dot_kernels()) {
    if (!machine_has(entry.isa)) continue;
    register_kernel(entry.name, [&entry](benchmark::State& state) { dense_dot(state, entry); });
  }
  return true;
}();

}  // namespace
}  // namespace bitloom
