// Every kernel of the list: products per second of one thread, 512 tokens and fewer, and their percentage of the
// thread's peak of 8-bit products, measured in turns with them.

#include <fmt/format.h>

#include <vector>

#include "hardware/dot_peak.h"
#include "kernels/int_gemm/test_input.h"
#include "kernels/kernel_bench.h"
#include "kernels/trellis_dot/test_dot.h"
#include "kernels/trellis_gemm/trellis_gemm.h"

namespace bitloom {
namespace {

constexpr int64_t kRows = 512, kCols = 2048;

void trellis_gemm(benchmark::State& state, const TrellisGemmEntry& entry, const TrellisCode& code, int64_t tokens) {
  const testing::RandomTrellisDot weights(code, kRows, kCols, 1, DotInput::kInt8, 1);
  const std::vector<float> x(static_cast<size_t>(tokens * kCols), 0.3f);
  // Its panels are more than enough.
  static_assert(panel_bytes(kRows, kCols) >= kTrellisGemmScratch);
  const testing::GemmBuffers input(x.data(), tokens, kCols, kRows);
  std::vector<float> y(static_cast<size_t>(tokens * kRows));
  ThreadPool one(1);
  double least = 1e30, peak = 0;
  for (auto _ : state) {
    peak = std::max(peak, measure_dot_peak(one, thread_seconds).int8);
    const double begin = thread_seconds();
    entry.kernel({weights.call.w, 0, weights.call.last, tokens, input.view, input.scratch, y.data(), kRows});
    least = std::min(least, thread_seconds() - begin);
    state.SetIterationTime(thread_seconds() - begin);
  }
  const double rate = 2 * static_cast<double>(kRows * kCols * tokens) / least;
  state.counters["GOP/s"] = 1e-9 * rate;
  if (peak > 0) state.counters["percent"] = 100 * rate / peak;
}

const bool registered = [] {
  for (const TrellisGemmEntry& entry : trellis_gemm_kernels()) {
    if (!machine_has(entry.isa) || entry.isa == Isa::kPortable) continue;
    for (const TrellisCode& code : {TrellisCode{2, 4}, TrellisCode{1, 6}, TrellisCode{1, 8}}) {
      for (const int64_t tokens : {8, 512}) {
        register_kernel(fmt::format("{}/v{}/bits:{}/tokens:{}", entry.name, code.values, code.half_bits / 2.0, tokens),
                        [&entry, code, tokens](benchmark::State& state) { trellis_gemm(state, entry, code, tokens); });
      }
    }
  }
  return true;
}();

}  // namespace
}  // namespace bitloom
