// Every kernel of the list that this machine can run against the reference.

#include "kernels/int_dot/int_dot.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <iterator>
#include <limits>
#include <vector>

#include "kernels/int_dot/reference.h"
#include "kernels/int_dot/test_matrix.h"

namespace bitloom {
namespace {

class IntDot : public ::testing::TestWithParam<IntDotEntry> {
 protected:
  /// With u = 2^-24: fp32 sums of n terms err by at most (n + 8) u times the sum of their absolute values, whatever the
  /// order; 8 for the products with level, scales, factor and the sums of groups, where zero points are taken from the
  /// middle of the codes (see the magnitude's 2^(bits - 1)). Lanes of integers err less. Rounding x is off by a step
  /// and a half of 2^-22.99 of its block's greatest at most in 24 bits: 7 u / 2 and, digits apart, their sums thrice.
  /// In 8 bits half a step: 1 / 254, and the same fp32 errors of what is rounded.
  /// The shape as the kernel takes it; false: it does not.
  static bool fit(testing::DotShape& shape) {
    const IntDotEntry& entry = GetParam();
    if (!serves(entry, shape.group, shape.cols)) return false;
    if (shape.zeros && (entry.codes == CodeKind::kTable || entry.codes == CodeKind::kSign)) return false;
    if (entry.codes == CodeKind::kMixed) shape.zeros = shape.real_zeros = true, shape.scales = ScaleKind::kF16;
    return true;
  }

  void compare(testing::DotShape shape) const {
    const IntDotEntry& entry = GetParam();
    if (!fit(shape)) return;
    const testing::RandomDot dot(shape, entry, static_cast<uint64_t>(shape.rows * 131 + shape.cols));
    entry.kernel(dot.call);
    for (int64_t t = 0; t < shape.tokens; ++t) {
      for (int64_t r = 0; r < shape.rows; ++r) {
        const ReferenceDot want = int_dot_reference(dot.call, entry.codes, entry.bits, t, r);
        const double sums = static_cast<double>(shape.cols + 8) * 0x1p-24;
        double bound = sums * want.magnitude;
        if (entry.input == DotInput::kInt24) bound = 3 * sums * want.magnitude + 4 * 0x1p-24 * want.block_magnitude;
        if (entry.input == DotInput::kInt8) bound = (sums + 1.001 / 254) * want.block_magnitude;
        ASSERT_NEAR(dot.call.y[t * shape.rows + r], want.value, bound)
            << entry.name << " [" << shape.rows << ", " << shape.cols << "] group " << shape.group << " token " << t
            << " row " << r;
      }
    }
  }
};

TEST_P(IntDot, EveryGroupSizeAndEveryTail) {
  for (const bool zeros : {false, true}) {
    for (const int64_t group : {1, 4, 5, 8, 12, 16, 20, 24, 32, 48, 64, 96, 128, 136, 192, 256}) {
      for (const int64_t cols : {1, 2, 7, 15, 16, 17, 31, 32, 33, 63, 64, 65, 100, 127, 128, 129, 255, 300, 400}) {
        compare({.rows = 5, .cols = cols, .group = group, .zeros = zeros});
        compare({.rows = 5, .cols = cols, .group = cols, .zeros = zeros});
      }
    }
  }
}

TEST_P(IntDot, MoreGroupsThanAreWidenedAtATime) {
  for (const int64_t group : {8, 24, 128}) {
    compare({.rows = 5, .cols = 700 * group, .tokens = 2, .group = group, .zeros = true});
  }
  for (const ScaleKind scales : {ScaleKind::kF32, ScaleKind::kE4M3}) {
    compare({.rows = 5, .cols = 300 * 24, .group = 24, .scales = scales});
    compare({.rows = 3, .cols = 300 * 128, .group = 128, .scales = scales});
  }
}

TEST_P(IntDot, EveryNumberOfRowsAndTokens) {
  for (const int64_t rows : {1, 2, 3, 4, 5, 8, 11}) {
    for (const int64_t tokens : {1, 2, 3, 8, 19}) {
      compare({.rows = rows, .cols = 96, .tokens = tokens, .group = 32});
      compare({.rows = rows, .cols = 77, .tokens = tokens, .group = 77, .zeros = true});
    }
  }
}

TEST_P(IntDot, EveryTypeAndSharingOfScalesAndAnOrderOfRows) {
  for (const ScaleKind scales :
       {ScaleKind::kF32, ScaleKind::kF16, ScaleKind::kBF16, ScaleKind::kE8M0, ScaleKind::kE4M3}) {
    for (const int64_t group_rows : {1, 3, 10}) {
      for (const bool permuted : {false, true}) {
        compare({10, 160, 2, 32, group_rows, scales, permuted});
        compare({10, 160, 2, 16, group_rows, scales, permuted, true});
        compare({10, 160, 2, 160, group_rows, scales, permuted, true});
      }
    }
  }
}

TEST_P(IntDot, ZeroPointsThatAreNumbers) {
  for (const int second_bits : {0, 1, 3, 6, 8}) {
    for (const int64_t group : {5, 8, 16, 32, 64, 128}) {
      for (const int64_t cols : {7, 64, 130, 330}) {
        compare({.rows = 11,
                 .cols = cols,
                 .tokens = 2,
                 .group = group,
                 .permuted = cols == 64,
                 .zeros = true,
                 .real_zeros = true,
                 .second_bits = second_bits});
      }
    }
    compare({.rows = 3, .cols = 300 * 16, .group = 16, .zeros = true, .real_zeros = true, .second_bits = second_bits});
    compare({.rows = 3, .cols = 300 * 32, .group = 32, .zeros = true, .real_zeros = true, .second_bits = second_bits});
  }
}

TEST_P(IntDot, InputsOfAnySize) {
  for (const float largest : {1e-28f, 1e-20f, 1e20f, 1e30f}) {
    compare({.rows = 5, .cols = 300, .group = 32, .zeros = true, .largest = largest});
  }
}

// A lane's sum is greatest where all codes and all inputs are.
TEST_P(IntDot, TheGreatestSumsDoNotOverflow) {
  const IntDotEntry& entry = GetParam();
  const bool mixed = entry.codes == CodeKind::kMixed;
  for (const unsigned fill : {0x00u, 0xffu, 0x88u, 0x77u}) {
    for (const float sign : {1.0f, -1.0f}) {
      testing::RandomDot dot({.rows = 4, .cols = 256, .group = 64, .zeros = mixed, .real_zeros = mixed}, entry, 1);
      dot.fill(static_cast<std::byte>(fill), sign, entry);
      entry.kernel(dot.call);
      const ReferenceDot want = int_dot_reference(dot.call, entry.codes, entry.bits, 0, 0);
      EXPECT_NEAR(dot.call.y[0], want.value, (entry.input == DotInput::kInt8 ? 1e-5 : 1e-6) * want.magnitude);
    }
  }
}

TEST_P(IntDot, APieceOfTheRowsGivesTheSameBitsAndTouchesNoOther) {
  const testing::DotShape kShapes[] = {
      {.cols = 160, .group = 32},
      {.cols = 160, .group = 64, .permuted = true},
      {.cols = 300, .group = 128, .group_rows = 3, .zeros = true},
      {.cols = 512, .group = 256, .zeros = true, .real_zeros = true},
      {.cols = 576, .group = 576, .scales = ScaleKind::kF32},
      {.cols = 300 * 32, .group = 32, .zeros = true},
      {.cols = 192, .group = 64, .permuted = true, .zeros = true, .real_zeros = true, .second_bits = 6},
  };
  for (testing::DotShape shape : kShapes) {
    shape.rows = 11, shape.tokens = 2;
    if (!fit(shape)) continue;
    const testing::RandomDot whole(shape, GetParam(), 1);
    GetParam().kernel(whole.call);
    for (const auto& [first, last] : std::initializer_list<std::pair<int64_t, int64_t>>{
             {0, 1}, {0, 8}, {1, 3}, {2, 9}, {3, 9}, {4, 9}, {5, 9}, {8, 11}, {10, 11}}) {
      testing::RandomDot piece(shape, GetParam(), 1);
      piece.call.first = first, piece.call.last = last;
      GetParam().kernel(piece.call);
      for (int64_t i = 0; i < shape.tokens * shape.rows; ++i) {
        const int64_t row = i % shape.rows;
        if (row >= first && row < last) {
          EXPECT_EQ(piece.call.y[i], whole.call.y[i]) << shape.cols << ", group " << shape.group << ", row " << row;
        } else {
          EXPECT_TRUE(std::isnan(piece.call.y[i]));
        }
      }
    }
  }
}

std::vector<IntDotEntry> kernels_of_this_machine() {
  std::vector<IntDotEntry> entries;
  std::copy_if(int_dot_kernels().begin(), int_dot_kernels().end(), std::back_inserter(entries),
               [](const IntDotEntry& entry) { return machine_has(entry.isa) && is_bitstream(entry.codes); });
  return entries;
}
std::string name_of_case(const ::testing::TestParamInfo<IntDotEntry>& info) { return info.param.name; }
INSTANTIATE_TEST_SUITE_P(List, IntDot, ::testing::ValuesIn(kernels_of_this_machine()), name_of_case);

TEST(FindIntDot, TheAskedIsaOrTheNextLower) {
  for (const int bits : {2, 3, 4, 5, 6, 7, 8}) {
    for (const bool exact : {false, true}) {
      const IntDotNeeds needs = {bits, CodeKind::kInteger, exact, 128, 576};
      EXPECT_EQ(find_int_dot(Isa::kPortable, needs)->isa, Isa::kPortable);
      EXPECT_EQ(find_int_dot(Isa::kV256, needs)->isa, Isa::kV256);
      EXPECT_NE(find_int_dot(every_isa().back(), needs), nullptr);
    }
  }
  EXPECT_EQ(find_int_dot(every_isa().back(), {4, CodeKind::kInteger, true, 5, 576})->isa, Isa::kPortable);
  EXPECT_EQ(find_int_dot(every_isa().back(), {4, CodeKind::kInteger, false, 6, 576}), nullptr);
  EXPECT_EQ(find_int_dot(every_isa().back(), {9, CodeKind::kInteger, true, 128, 576}), nullptr);
}

}  // namespace
}  // namespace bitloom
