// Every kernel of the list: bytes of codes and tables per second, on one thread.

#include <fmt/format.h>

#include "kernels/kernel_bench.h"
#include "kernels/row_table_dot/test_dot.h"

namespace bitloom {
namespace {

constexpr int64_t kRows = 32768, kCols = 4096;

void row_table_dot(benchmark::State& state, const RowTableDotEntry& entry, int bits, int64_t group) {
  const testing::RandomRowTableDot dot(bits, kRows, kCols, group, 1, 1, 1);
  measure_kernel(state, static_cast<int64_t>(dot.codes.size() + dot.tables.size()), [&] { entry.kernel(dot.call); });
}

const bool registered = [] {
  for (const RowTableDotEntry& entry : row_table_dot_kernels()) {
    if (!machine_has(entry.isa) || entry.isa == Isa::kPortable) continue;
    for (const int bits : {2, 3, 4}) {
      for (const int64_t group : {int64_t{128}, kCols}) {
        register_kernel(fmt::format("{}/bits:{}/group:{}", entry.name, bits, group),
                        [&entry, bits, group](benchmark::State& state) { row_table_dot(state, entry, bits, group); });
      }
    }
  }
  return true;
}();

}  // namespace
}  // namespace bitloom
