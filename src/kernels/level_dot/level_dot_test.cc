// Every kernel of the list that this machine can run against the definition, in double precision.

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "kernels/dot_test.h"
#include "kernels/level_dot/test_dot.h"

namespace bitloom {
namespace {

using testing::LevelShape;
using testing::RandomLevelDot;

/// Where `spoiled`, the second row's codes are all the last, of which `shape` makes no number.
void expect_definition(const LevelDotEntry& entry, const LevelShape& shape, bool spoiled = false) {
  if (shape.group % entry.group_multiple != 0 && shape.group < shape.cols) return;
  RandomLevelDot dot(shape, static_cast<uint64_t>(shape.rows * 131 + shape.cols + shape.bits));
  if (spoiled) std::fill_n(dot.codes.begin() + dot.call.w.w.row_bytes, dot.call.w.w.row_bytes, std::byte{0xff});
  entry.kernel(dot.call);
  const IntRows& w = dot.call.w.w;
  std::vector<uint8_t> codes(static_cast<size_t>(w.cols));
  for (int64_t r = 0; r < w.rows; ++r) {
    const int64_t row = w.order == nullptr ? r : w.order[r];
    unpack_bits(w.codes + row * w.row_bytes, 0, w.cols, shape.bits, codes.data());
    for (int64_t t = 0; t < shape.tokens; ++t) {
      double want = 0, size = 0;
      for (int64_t c = 0; c < w.cols; ++c) {
        float scale = 0;
        decode_to_f32(DType::kF16, w.scales + row / w.group_rows * w.scale_row_bytes, c / w.group, 1, &scale);
        const double term = static_cast<double>(w.factor) * scale * dot.levels[codes[static_cast<size_t>(c)]] *
                            dot.x[static_cast<size_t>(t * w.cols + c)];
        want += term, size += std::abs(term);
      }
      if (spoiled && row == 1) {
        ASSERT_TRUE(std::isnan(dot.y[static_cast<size_t>(t * w.rows + r)])) << entry.name << " bits " << shape.bits;
        continue;
      }
      // fp32 sums of n products in any order, and a few roundings of scales and factor.
      ASSERT_NEAR(dot.y[static_cast<size_t>(t * w.rows + r)], want, static_cast<double>(w.cols + 4) * 0x1p-24 * size)
          << entry.name << " bits " << shape.bits << " [" << w.rows << ", " << w.cols << "] group " << w.group;
    }
  }
}

TEST(LevelDot, EveryKernelEqualsTheDefinition) {
  for (const LevelDotEntry& entry : level_dot_kernels()) {
    if (!machine_has(entry.isa)) continue;
    for (int bits = 1; bits <= 8; ++bits) {
      for (const int half_shift : {0, 7, 8}) {
        if (half_shift != 0 && bits != 8) continue;
        for (const int64_t cols : {1, 7, 16, 77, 130}) {
          for (const int64_t group : {1, 6, 8, 16, 48, 130}) {
            expect_definition(entry, {.bits = bits, .rows = 5, .cols = cols, .group = group, .half_shift = half_shift});
          }
        }
        expect_definition(entry, {.bits = bits,
                                  .rows = 11,
                                  .cols = 96,
                                  .group = 32,
                                  .tokens = 3,
                                  .group_rows = 3,
                                  .permuted = true,
                                  .half_shift = half_shift});
        // More groups than are widened at a time.
        expect_definition(entry, {.bits = bits, .rows = 2, .cols = 300 * 16, .group = 16, .half_shift = half_shift});
      }
    }
  }
}

// What lies beyond a row is the next one's: whatever it is, it is not in this row's sums.
TEST(LevelDot, LevelsThatAreNoNumbersSpoilTheirOwnRowsAlone) {
  for (const LevelDotEntry& entry : level_dot_kernels()) {
    if (!machine_has(entry.isa)) continue;
    for (const int64_t cols : {9, 20, 77, 100}) {
      for (int bits = 1; bits <= 8; ++bits) {
        const int half = 1 << (bits - 1);
        for (const int levels : {half, half + half / 4, 2 * half - 1}) {
          const LevelShape shape = {.bits = bits, .rows = 5, .cols = cols, .group = cols, .levels = levels};
          expect_definition(entry, shape);
          expect_definition(entry, shape, true);
        }
      }
      // E5M2, of whose magnitudes the last are no numbers.
      expect_definition(entry, {.bits = 8, .rows = 5, .cols = cols, .group = cols, .half_shift = 8}, true);
    }
  }
}

TEST(LevelDot, RowsStandAlone) {
  for (const LevelDotEntry& entry : level_dot_kernels()) {
    if (!machine_has(entry.isa)) continue;
    const LevelShape shape = {.bits = 6, .rows = 11, .cols = 96, .group = 32, .tokens = 2};
    RandomLevelDot whole(shape, 2), parts(shape, 2);
    testing::expect_parts_stand_alone(entry, whole, parts, {{0, 1}, {1, 7}, {7, 11}});
  }
}

TEST(LevelDot, GroupsThatAKernelDoesNotServeGoToTheNext) {
  EXPECT_EQ(find_level_dot(every_isa().back(), 7, 64).isa, Isa::kPortable);
  EXPECT_EQ(find_level_dot(Isa::kPortable, 32, 64).isa, Isa::kPortable);
  EXPECT_EQ(find_level_dot(every_isa().back(), 8, 64).isa, Isa::kV256);
}

}  // namespace
}  // namespace bitloom
