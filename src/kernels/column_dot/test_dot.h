#pragma once
// For tests and benchmarks: a product of random column codebooks with random vectors.

#include <cmath>
#include <random>
#include <vector>

#include "format/families/codebook/codebook_matrix.h"
#include "kernels/column_dot/column_dot.h"
#include "kernels/guarded.h"

namespace bitloom::testing {

struct RandomColumnDot {
  std::vector<CodebookColumn> columns;
  std::vector<GuardedVector<std::byte>> parts;
  ColumnLayout layout;
  GuardedVector<float> x, y;
  GuardedVector<std::byte> scratch;
  ColumnDotCall call;

  RandomColumnDot(const RandomColumnDot&) = delete;

  RandomColumnDot(std::vector<CodebookColumn> given, int64_t tokens, bool exact, uint32_t seed)
      : columns(std::move(given)), parts(guarded(pack_columns(columns))), layout({parts[0].begin(), parts[0].end()}) {
    const auto rows = static_cast<int64_t>(columns[0].codes.size()), cols = static_cast<int64_t>(columns.size());
    std::mt19937 random(seed);
    std::normal_distribution<float> normal;
    x = guarded<float>(tokens * cols, [&] { return normal(random); });
    y.assign(static_cast<size_t>(tokens * rows), std::nanf(""));
    call.w = {parts[1].data(), parts[2].data(), &layout, rows, cols};
    call.last = (rows + 15) / 16, call.tokens = tokens, call.exact = exact;
    call.x = x.data(), call.y = y.data(), call.y_stride = rows;
    scratch = guarded_scratch(column_dot_scratch(call.w));
    call.scratch = scratch.data();
  }
};

/// Columns of the given widths; width(c) gives that of column c.
template <typename Width>
std::vector<CodebookColumn> random_columns(int64_t rows, int64_t cols, const Width& width, uint32_t seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  std::vector<CodebookColumn> columns;
  for (int64_t c = 0; c < cols; ++c) {
    CodebookColumn column{width(c), {}, {}};
    for (int level = 0; level < 1 << column.bits; ++level) column.table.push_back(normal(random));
    for (int64_t r = 0; r < rows; ++r) column.codes.push_back(static_cast<uint8_t>(random() % (1u << column.bits)));
    columns.push_back(std::move(column));
  }
  return columns;
}

}  // namespace bitloom::testing
