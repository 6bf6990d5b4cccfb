// Every kernel of the list: weights and bytes of codes per second, on one thread.

#include <fmt/format.h>

#include "kernels/kernel_bench.h"
#include "kernels/trellis_dot/test_dot.h"

namespace bitloom {
namespace {

constexpr int64_t kRows = 65536, kCols = 4096;

void trellis_dot(benchmark::State& state, const TrellisDotEntry& entry, const TrellisCode& code, DotInput input) {
  const testing::RandomTrellisDot dot(code, kRows, kCols, 1, input, 1);
  const double seconds =
      measure_kernel(state, 2 * static_cast<int64_t>(dot.words.size()), [&] { entry.kernel(dot.call); });
  state.counters["Gweights/s"] = 1e-9 * static_cast<double>(kRows * kCols) / seconds;
}

const bool registered = [] {
  for (const TrellisDotEntry& entry : trellis_dot_kernels()) {
    if (!machine_has(entry.isa) || entry.isa == Isa::kPortable) continue;
    for (const TrellisCode& code : {TrellisCode{2, 4}, TrellisCode{2, 3}, TrellisCode{1, 6}, TrellisCode{1, 8}}) {
      for (const DotInput input : {DotInput::kInt8, DotInput::kInt24}) {
        register_kernel(fmt::format("{}/v{}/bits:{}/{}", entry.name, code.values, code.half_bits / 2.0,
                                    input == DotInput::kInt8 ? "int8" : "int24"),
                        [&entry, code, input](benchmark::State& state) { trellis_dot(state, entry, code, input); });
      }
    }
  }
  return true;
}();

}  // namespace
}  // namespace bitloom
