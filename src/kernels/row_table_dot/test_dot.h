#pragma once
// For tests and benchmarks: a product of random codebooks of rows with random vectors.

#include <cmath>
#include <random>
#include <vector>

#include "base/memory/dtype.h"
#include "kernels/guarded.h"
#include "kernels/row_table_dot/row_table_dot.h"
#include "packing/bitstream.h"

namespace bitloom::testing {

struct RandomRowTableDot {
  GuardedVector<std::byte> codes, tables;
  GuardedVector<float> x, y;
  RowTableDotCall call;

  RandomRowTableDot(int bits, int64_t rows, int64_t cols, int64_t group, int64_t table_rows, int64_t tokens,
                    uint32_t seed) {
    std::mt19937 random(seed);
    std::normal_distribution<float> normal;
    const int64_t row_bytes = bitstream_bytes(bits, cols), groups = (cols + group - 1) / group;
    std::vector<uint8_t> row(static_cast<size_t>(cols));
    codes.resize(static_cast<size_t>(rows * row_bytes));
    for (int64_t r = 0; r < rows; ++r) {
      for (uint8_t& code : row) code = static_cast<uint8_t>(random() % (1u << bits));
      pack_bits(row.data(), cols, bits, codes.data() + r * row_bytes);
    }
    std::vector<float> levels(static_cast<size_t>((rows + table_rows - 1) / table_rows * groups << bits));
    for (float& level : levels) level = normal(random);
    tables.resize(2 * levels.size());
    encode_from_f32(DType::kF16, levels.data(), static_cast<int64_t>(levels.size()), tables.data());
    x = guarded<float>(tokens * cols, [&] { return normal(random); });
    y.assign(static_cast<size_t>(tokens * rows), std::nanf(""));
    call.w = {codes.data(), tables.data(), bits, rows, cols, table_rows, group};
    call.last = rows, call.tokens = tokens, call.x = x.data(), call.y = y.data(), call.y_stride = rows;
  }
  RandomRowTableDot(const RandomRowTableDot&) = delete;
};

}  // namespace bitloom::testing
