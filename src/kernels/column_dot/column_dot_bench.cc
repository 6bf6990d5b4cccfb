// Every kernel of the list: weights and bytes per second, on one thread and on two.

#include <fmt/format.h>

#include "kernels/column_dot/test_dot.h"
#include "kernels/kernel_bench.h"

namespace bitloom {
namespace {

constexpr int64_t kRows = 65536, kCols = 4096;

/// `bits`: of every column; 0: 1 to 4 bits, 2 in the mean.
void column_dot(benchmark::State& state, const ColumnDotEntry& entry, int bits, bool exact, int threads) {
  const auto width = [bits](int64_t c) {
    constexpr int kMixed[] = {1, 2, 2, 1, 3, 1, 4, 2};
    return bits != 0 ? bits : kMixed[c % 8];
  };
  // A few random rows, over and over.
  std::vector<CodebookColumn> columns = testing::random_columns(64, kCols, width, 1);
  for (CodebookColumn& column : columns) {
    column.codes.reserve(kRows);
    for (int64_t r = 64; r < kRows; ++r) column.codes.push_back(column.codes[static_cast<size_t>(r - 64)]);
  }
  const testing::RandomColumnDot dot(std::move(columns), 1, exact, 1);
  const double seconds = measure_shared(state, threads, static_cast<int64_t>(dot.parts[1].size()), entry.kernel,
                                        dot.call, column_dot_scratch(dot.call.w));
  state.counters["Gweights/s"] = 1e-9 * static_cast<double>(kRows * kCols) / seconds;
}

const bool registered = [] {
  for (const ColumnDotEntry& entry : column_dot_kernels()) {
    if (!machine_has(entry.isa) || entry.isa == Isa::kPortable) continue;
    for (const int bits : {2, 0, 3, 4}) {
      for (const bool exact : {false, true}) {
        for (const int threads : {1, 2}) {
          register_kernel(fmt::format("{}/bits:{}/{}/threads:{}", entry.name,
                                      bits == 0 ? "1to4" : fmt::format("{}", bits), exact ? "24" : "16", threads),
                          [&entry, bits, exact, threads](benchmark::State& state) {
                            column_dot(state, entry, bits, exact, threads);
                          });
        }
      }
    }
  }
  return true;
}();

}  // namespace
}  // namespace bitloom
