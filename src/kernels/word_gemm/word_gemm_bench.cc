// Every kernel of the list: multiply-adds per second on one thread, 512 rows of A against strip after strip.

#include <algorithm>

#include "kernels/kernel_bench.h"
#include "kernels/word_gemm/test_product.h"

namespace bitloom {
namespace {

void multiply(benchmark::State& state, const WordGemmEntry& entry) {
  testing::RandomWords random(512, 1);
  constexpr int kStrips = 64;
  double least_seconds = 1e30;
  for (auto _ : state) {
    const double begin = thread_seconds();
    for (int i = 0; i < kStrips; ++i) entry.kernel(random.product);
    const double seconds = thread_seconds() - begin;
    least_seconds = std::min(least_seconds, seconds);
    state.SetIterationTime(seconds);
  }
  const auto products = static_cast<double>(512 * kWordDepth * kWordStrip * kStrips);
  state.counters["G multiply-adds/s"] = products / least_seconds * 1e-9;
}

const bool registered = [] {
  for (const WordGemmEntry& entry : word_gemm_kernels()) {
    if (!machine_has(entry.isa)) continue;
    register_kernel(entry.name, [&entry](benchmark::State& state) { multiply(state, entry); });
  }
  return true;
}();

}  // namespace
}  // namespace bitloom
