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
  /// fp32 sums of n terms err by at most (n + 3) u times the sum of their absolute values, u = 2^-24, whatever the
  /// order; 3 for the products with the level, the scale and the block's scale.
  void compare(const testing::DotShape& shape) const {
    const IntDotEntry& entry = GetParam();
    if (!serves(entry, shape.group, shape.cols)) return;
    const testing::RandomDot dot(shape, entry.bits, static_cast<uint64_t>(shape.rows * 131 + shape.cols));
    entry.kernel(dot.call);
    for (int64_t t = 0; t < shape.tokens; ++t) {
      for (int64_t r = 0; r < shape.rows; ++r) {
        const ReferenceDot want = int_dot_reference(dot.call, entry.bits, entry.input, t, r);
        const double bound = static_cast<double>(shape.cols + 3) * 0x1p-24 * want.magnitude;
        ASSERT_NEAR(dot.call.y[t * shape.rows + r], want.value, bound)
            << entry.name << " [" << shape.rows << ", " << shape.cols << "] group " << shape.group << " token " << t
            << " row " << r;
      }
    }
  }
};

TEST_P(IntDot, EveryGroupSizeAndEveryTail) {
  for (const int64_t group : {1, 5, 16, 20, 32, 48, 64, 128}) {
    for (const int64_t cols : {1, 2, 7, 15, 16, 17, 31, 32, 33, 63, 64, 65, 100, 127, 128, 129, 255, 300}) {
      compare({.rows = 5, .cols = cols, .group = group});
      compare({.rows = 5, .cols = cols, .group = cols});
    }
  }
}

TEST_P(IntDot, EveryNumberOfRowsAndTokens) {
  for (const int64_t rows : {1, 2, 3, 4, 5, 8, 11}) {
    for (const int64_t tokens : {1, 2, 3, 7}) {
      compare({.rows = rows, .cols = 96, .tokens = tokens, .group = 32});
      compare({.rows = rows, .cols = 77, .tokens = tokens, .group = 77});
    }
  }
}

TEST_P(IntDot, EveryTypeAndSharingOfScalesAndAnOrderOfRows) {
  for (const ScaleKind scales : {ScaleKind::kF32, ScaleKind::kF16, ScaleKind::kBF16}) {
    for (const int64_t group_rows : {1, 3, 10}) {
      for (const bool permuted : {false, true}) {
        compare({10, 160, 2, 32, group_rows, scales, permuted});
        compare({10, 160, 2, 160, group_rows, scales, permuted});
      }
    }
  }
}

TEST_P(IntDot, APieceOfTheRowsGivesTheSameBitsAndTouchesNoOther) {
  const testing::DotShape shape = {.rows = 11, .cols = 160, .tokens = 2, .group = 32};
  const testing::RandomDot whole(shape, GetParam().bits, 1);
  testing::RandomDot piece(shape, GetParam().bits, 1);
  GetParam().kernel(whole.call);
  piece.call.first = 2, piece.call.last = 9;
  GetParam().kernel(piece.call);
  for (int64_t i = 0; i < shape.tokens * shape.rows; ++i) {
    const int64_t row = i % shape.rows;
    if (row >= 2 && row < 9) {
      EXPECT_EQ(piece.call.y[i], whole.call.y[i]);
    } else {
      EXPECT_TRUE(std::isnan(piece.call.y[i]));
    }
  }
}

std::vector<IntDotEntry> kernels_of_this_machine() {
  std::vector<IntDotEntry> entries;
  std::copy_if(int_dot_kernels().begin(), int_dot_kernels().end(), std::back_inserter(entries),
               [](const IntDotEntry& entry) { return machine_has(entry.isa); });
  return entries;
}
std::string name_of_case(const ::testing::TestParamInfo<IntDotEntry>& info) { return info.param.name; }
INSTANTIATE_TEST_SUITE_P(List, IntDot, ::testing::ValuesIn(kernels_of_this_machine()), name_of_case);

TEST(FindIntDot, TheAskedIsaOrTheNextLower) {
  for (const int bits : {4, 8}) {
    for (const DotInput input : {DotInput::kF32, DotInput::kInt8}) {
      EXPECT_EQ(find_int_dot(Isa::kPortable, bits, input, 128, 576)->isa, Isa::kPortable);
      EXPECT_NE(find_int_dot(Isa::kAvx512Vnni, bits, input, 128, 576), nullptr);
    }
  }
  EXPECT_EQ(find_int_dot(Isa::kAvx512Vnni, 4, DotInput::kF32, 5, 576)->isa, Isa::kPortable);
  EXPECT_EQ(find_int_dot(Isa::kAvx512Vnni, 4, DotInput::kInt8, 16, 576), nullptr);
  EXPECT_EQ(find_int_dot(Isa::kAvx512Vnni, 3, DotInput::kF32, 128, 576), nullptr);
}

}  // namespace
}  // namespace bitloom
