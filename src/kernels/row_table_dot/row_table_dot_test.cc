// Every kernel of the list that this machine can run against the definition, in double precision.

#include <gtest/gtest.h>

#include <array>
#include <cmath>

#include "kernels/dot_test.h"
#include "kernels/row_table_dot/test_dot.h"

namespace bitloom {
namespace {

using testing::RandomRowTableDot;

void expect_definition(const RowTableDotEntry& entry, const RandomRowTableDot& dot) {
  entry.kernel(dot.call);
  const RowTables& w = dot.call.w;
  const int64_t groups = (w.cols + w.group - 1) / w.group, levels = int64_t{1} << w.bits;
  std::vector<uint8_t> codes(static_cast<size_t>(w.cols));
  for (int64_t r = 0; r < w.rows; ++r) {
    unpack_bits(w.codes + r * bitstream_bytes(w.bits, w.cols), 0, w.cols, w.bits, codes.data());
    for (int64_t t = 0; t < dot.call.tokens; ++t) {
      double want = 0, size = 0;
      for (int64_t c = 0; c < w.cols; ++c) {
        float level = 0;
        const int64_t at = (r / w.table_rows * groups + c / w.group) * levels + codes[static_cast<size_t>(c)];
        decode_to_f32(DType::kF16, w.tables, at, 1, &level);
        const double term = static_cast<double>(level) * dot.x[static_cast<size_t>(t * w.cols + c)];
        want += term, size += std::abs(term);
      }
      // fp32 sums of n products err by at most n u times the sum of their absolute values.
      EXPECT_NEAR(dot.y[static_cast<size_t>(t * w.rows + r)], want, static_cast<double>(w.cols + 1) * 0x1p-24 * size)
          << entry.name << " bits " << w.bits << " " << w.rows << " x " << w.cols << " group " << w.group;
    }
  }
}

TEST(RowTableDot, EveryKernelEqualsTheDefinition) {
  uint32_t seed = 0;
  for (const RowTableDotEntry& entry : row_table_dot_kernels()) {
    if (!machine_has(entry.isa)) continue;
    for (int bits = 1; bits <= 8; ++bits) {
      for (const auto& [rows, cols, group] :
           {std::array<int64_t, 3>{1, 1, 1}, {7, 100, 100}, {9, 77, 32}, {5, 64, 16}, {5, 72, 8}, {6, 96, 24}}) {
        ++seed;
        if (group % entry.group_multiple != 0 && group < cols) continue;
        expect_definition(entry, {bits, rows, cols, group, 1, 1 + seed % 3, seed});
        expect_definition(entry, {bits, rows, cols, cols, rows, 1, seed});
      }
    }
  }
}

TEST(RowTableDot, RowsStandAlone) {
  for (const RowTableDotEntry& entry : row_table_dot_kernels()) {
    if (!machine_has(entry.isa)) continue;
    RandomRowTableDot whole(4, 11, 96, 32, 1, 1, 2), parts(4, 11, 96, 32, 1, 1, 2);
    testing::expect_parts_stand_alone(entry, whole, parts, {{0, 1}, {1, 7}, {7, 11}});
  }
}

TEST(RowTableDot, GroupsThatAKernelDoesNotServeGoToTheNext) {
  EXPECT_EQ(find_row_table_dot(every_isa().back(), 7, 64).isa, Isa::kPortable);
  EXPECT_EQ(find_row_table_dot(Isa::kPortable, 32, 64).isa, Isa::kPortable);
  EXPECT_EQ(find_row_table_dot(every_isa().back(), 8, 64).isa, Isa::kV256);
}

}  // namespace
}  // namespace bitloom
