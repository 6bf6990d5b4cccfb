// Every kernel of the list: bytes of codes and scales per second, on one thread.

#include <fmt/format.h>

#include "kernels/kernel_bench.h"
#include "kernels/level_dot/test_dot.h"

namespace bitloom {
namespace {

void level_dot(benchmark::State& state, const LevelDotEntry& entry, int bits, int half_shift) {
  const testing::RandomLevelDot dot({.bits = bits, .rows = 16384, .cols = 4096, .group = 32, .half_shift = half_shift},
                                    1);
  measure_kernel(state, static_cast<int64_t>(dot.codes.size() + dot.scales.size()), [&] { entry.kernel(dot.call); });
}

const bool registered = [] {
  for (const LevelDotEntry& entry : level_dot_kernels()) {
    if (!machine_has(entry.isa) || entry.isa == Isa::kPortable) continue;
    for (const auto& [bits, half_shift] : {std::pair<int, int>{4, 0}, {5, 0}, {6, 0}, {8, 0}, {8, 7}}) {
      register_kernel(fmt::format("{}/bits:{}{}", entry.name, bits, half_shift == 0 ? "" : "/halves"),
                      [&entry, bits = bits, half_shift = half_shift](benchmark::State& state) {
                        level_dot(state, entry, bits, half_shift);
                      });
    }
  }
  return true;
}();

}  // namespace
}  // namespace bitloom
