// Every kernel of the list that this machine can run against the definition, in double precision.

#include <gtest/gtest.h>

#include <algorithm>
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

/// Levels that no code of their row and group has become `value`.
void poison_unused(RandomRowTableDot& dot, float value) {
  const RowTables& w = dot.call.w;
  const int64_t groups = (w.cols + w.group - 1) / w.group, levels = int64_t{1} << w.bits;
  std::vector<uint8_t> codes(static_cast<size_t>(w.cols));
  for (int64_t r = 0; r < w.rows; ++r) {
    unpack_bits(w.codes + r * bitstream_bytes(w.bits, w.cols), 0, w.cols, w.bits, codes.data());
    for (int64_t g = 0; g < groups; ++g) {
      const auto first = codes.begin() + g * w.group, last = codes.begin() + std::min(w.cols, (g + 1) * w.group);
      for (int64_t level = 0; level < levels; ++level) {
        if (std::find(first, last, level) != last) continue;
        encode_from_f32(DType::kF16, &value, 1, dot.tables.data() + 2 * ((r * groups + g) * levels + level));
      }
    }
  }
}

// What is not finite reaches the sums that it belongs to, and no others: lanes behind a group's or a row's end read
// codes of others, or none.
TEST(RowTableDot, WhatIsNotFiniteStaysWhereItIs) {
  for (const RowTableDotEntry& entry : row_table_dot_kernels()) {
    if (!machine_has(entry.isa)) continue;
    for (int bits = 1; bits <= 8; ++bits) {
      for (const float bad : {std::nanf(""), INFINITY}) {
        RandomRowTableDot unused(bits, 9, 60, 24, 1, 2, 7);
        poison_unused(unused, bad);
        expect_definition(entry, unused);
        RandomRowTableDot weight(bits, 9, 60, 24, 1, 2, 8);  // all levels of row 4's second group
        for (int64_t level = 0; level < int64_t{1} << bits; ++level) {
          encode_from_f32(DType::kF16, &bad, 1, weight.tables.data() + 2 * (((4 * 3 + 1) << bits) + level));
        }
        entry.kernel(weight.call);
        for (size_t i = 0; i < 18; ++i) EXPECT_EQ(!std::isfinite(weight.y[i]), i % 9 == 4) << entry.name << " " << i;
        RandomRowTableDot input(bits, 9, 60, 24, 1, 2, 9);
        input.x[60 + 47] = bad;
        entry.kernel(input.call);
        for (size_t i = 0; i < 18; ++i) EXPECT_EQ(!std::isfinite(input.y[i]), i >= 9) << entry.name << " " << i;
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
