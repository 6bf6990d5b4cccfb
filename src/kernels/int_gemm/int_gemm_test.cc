// Every kernel of the list that this machine can run against the references of int_dot, of the input as it is rounded.

#include "kernels/int_gemm/int_gemm.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <iterator>
#include <string_view>
#include <vector>

#include "kernels/int_dot/reference.h"
#include "kernels/int_dot/test_blocks.h"
#include "kernels/int_dot/test_matrix.h"
#include "kernels/int_gemm/test_input.h"

namespace bitloom {
namespace {

using testing::GemmBuffers;

/// fp32 sums of a term per step, each of at most 32 columns, err by (steps + 8) 2^-24 of the sum of their absolute
/// values: 8 for the products of scales, zero points and sums. Steps are taken at their most, columns / 16.
double sum_error(int64_t cols) { return static_cast<double>(cols / 16 + 9) * 0x1p-24; }

/// The kernels for the same codes in other instructions, which give the same bits.
std::vector<IntGemmEntry> others(const IntGemmEntry& entry) {
  std::vector<IntGemmEntry> entries;
  std::copy_if(int_gemm_kernels().begin(), int_gemm_kernels().end(), std::back_inserter(entries),
               [&](const IntGemmEntry& other) {
                 return other.bits == entry.bits && other.codes == entry.codes && other.isa != entry.isa &&
                        machine_has(other.isa);
               });
  return entries;
}

class IntGemm : public ::testing::TestWithParam<IntGemmEntry> {
 protected:
  void compare(testing::DotShape shape) const {
    const IntGemmEntry& entry = GetParam();
    if (entry.codes == CodeKind::kMixed) shape.zeros = shape.real_zeros = true, shape.scales = ScaleKind::kF16;
    if (find_int_gemm(entry.isa, entry.bits, entry.codes, shape.group, shape.cols) == nullptr) return;
    if (shape.zeros && entry.codes == CodeKind::kTable) return;
    const IntDotEntry as_it_is = {"",          nullptr,        Isa::kPortable,       entry.bits,
                                  entry.codes, DotInput::kF32, InputOrder::kNatural, 1};
    testing::RandomDot dot(shape, as_it_is, static_cast<uint64_t>(shape.rows * 131 + shape.cols));
    const GemmBuffers input(dot.call.x, shape.tokens, shape.cols, shape.rows);
    testing::GuardedVector<float> y(static_cast<size_t>(shape.tokens * shape.rows), std::nanf("")), rounded;
    const auto run = [&](const IntGemmEntry& by, testing::GuardedVector<float>& out) {
      by.kernel({dot.call.w, 0, shape.rows, shape.tokens, input.view, input.scratch, out.data(), shape.rows});
    };
    run(entry, y);
    for (const IntGemmEntry& other : others(entry)) {
      testing::GuardedVector<float> same(y.size(), std::nanf(""));
      run(other, same);
      ASSERT_EQ(y, same) << entry.name << " " << other.name << " [" << shape.rows << ", " << shape.cols << "] group "
                         << shape.group << " tokens " << shape.tokens;
    }
    for (int64_t t = 0; t < shape.tokens; ++t) {
      for (int64_t c = 0; c < shape.cols; ++c) rounded.push_back(input.value(t, c));
    }
    dot.call.x = rounded.data();
    for (int64_t t = 0; t < shape.tokens; ++t) {
      for (int64_t r = 0; r < shape.rows; ++r) {
        const ReferenceDot want = int_dot_reference(dot.call, entry.codes, entry.bits, t, r);
        ASSERT_NEAR(y[static_cast<size_t>(t * shape.rows + r)], want.value, sum_error(shape.cols) * want.magnitude)
            << entry.name << " [" << shape.rows << ", " << shape.cols << "] group " << shape.group << " token " << t
            << " row " << r;
      }
    }
  }
};

TEST_P(IntGemm, EveryGroupSizeAndEveryTail) {
  for (const bool zeros : {false, true}) {
    for (const int64_t group : {5, 16, 32, 48, 64, 80, 96, 128, 256}) {
      for (const int64_t cols : {1, 2, 7, 15, 16, 17, 31, 33, 63, 64, 65, 100, 127, 128, 129, 300, 400}) {
        compare({.rows = 19, .cols = cols, .tokens = 3, .group = group, .zeros = zeros});
        compare({.rows = 19, .cols = cols, .tokens = 3, .group = cols, .zeros = zeros});
      }
    }
  }
}

TEST_P(IntGemm, EveryNumberOfRowsAndTokens) {
  for (const int64_t rows : {1, 15, 16, 17, 40}) {
    for (const int64_t tokens : {1, 2, 3, 5, 8, 9, 14, 15, 30, 44}) {
      compare({.rows = rows, .cols = 96, .tokens = tokens, .group = 32});
      compare({.rows = rows, .cols = 96, .tokens = tokens, .group = 16, .zeros = true});
    }
  }
}

TEST_P(IntGemm, EveryTypeAndSharingOfScalesAndAnOrderOfRows) {
  for (const ScaleKind scales :
       {ScaleKind::kF32, ScaleKind::kF16, ScaleKind::kBF16, ScaleKind::kE8M0, ScaleKind::kE4M3}) {
    for (const int64_t group_rows : {1, 3, 10}) {
      compare({10, 160, 2, 32, group_rows, scales, group_rows == 3});
      compare({10, 160, 2, 16, group_rows, scales, group_rows == 3, true});
    }
  }
}

TEST_P(IntGemm, ZeroPointsThatAreNumbers) {
  for (const int second_bits : {0, 3, 6}) {
    for (const int64_t group : {16, 64, 96, 330}) {
      compare({.rows = 19,
               .cols = 330,
               .tokens = 3,
               .group = group,
               .permuted = group == 64,
               .zeros = true,
               .real_zeros = true,
               .second_bits = second_bits});
    }
    compare({.rows = 3,
             .cols = 300 * 16,
             .tokens = 2,
             .group = 16,
             .zeros = true,
             .real_zeros = true,
             .second_bits = second_bits});
  }
}

TEST_P(IntGemm, MoreGroupsThanAreWidenedAtATimeAndInputsOfAnySize) {
  compare({.rows = 17, .cols = 700 * 16, .tokens = 2, .group = 16, .zeros = true});
  for (const float largest : {1e-28f, 1e-20f, 1e20f, 1e30f}) {
    compare({.rows = 5, .cols = 300, .tokens = 2, .group = 32, .zeros = true, .largest = largest});
  }
}

class BlocksGemm : public ::testing::TestWithParam<IntGemmEntry> {
 protected:
  void compare(int64_t rows, int64_t cols, int64_t tokens, float largest) const {
    const IntGemmEntry& entry = GetParam();
    const BlockKind& kind = testing::kind_of(entry.codes);
    if (cols % kind.columns != 0) return;
    const int64_t blocks = cols / kind.columns;
    Rng rng(static_cast<uint64_t>(rows + cols), 0x67656d6d);
    const testing::GuardedVector<std::byte> bytes = testing::random_blocks(entry.codes, rows * blocks, rng);
    std::vector<float> w(static_cast<size_t>(rows * cols)), x(static_cast<size_t>(tokens * cols));
    testing::GuardedVector<float> y(static_cast<size_t>(tokens * rows));
    for (float& value : x) value = largest * (static_cast<float>(rng.next_u32()) * 0x1p-31f - 1.0f);
    testing::type_of(entry.codes).decode(bytes.data(), rows * blocks, w.data());
    IntGemmCall call;
    call.w.codes = bytes.data(), call.w.rows = rows, call.w.cols = cols, call.w.row_bytes = blocks * kind.bytes;
    call.w.group = kind.group, call.last = rows, call.tokens = tokens, call.y = y.data(), call.y_stride = rows;
    const GemmBuffers input(x.data(), tokens, cols, rows);
    call.x = input.view, call.scratch = input.scratch;
    entry.kernel(call);
    for (const IntGemmEntry& other : others(entry)) {
      testing::GuardedVector<float> same(y.size(), std::nanf(""));
      call.y = same.data();
      other.kernel(call);
      ASSERT_EQ(y, same) << entry.name << " " << other.name << " " << cols;
    }
    for (int64_t i = 0; i < tokens * rows; ++i) {
      double want = 0, magnitude = 0;
      for (int64_t c = 0; c < cols; ++c) {
        const double weight = w[static_cast<size_t>(i % rows * cols + c)], value = input.value(i / rows, c);
        want += weight * value;
        magnitude += (std::abs(weight) + testing::extremes_of(entry.codes).most) * std::abs(value);
      }
      ASSERT_NEAR(y[static_cast<size_t>(i)], want, sum_error(cols) * magnitude) << entry.name << " " << cols;
    }
  }
};

TEST_P(BlocksGemm, EveryNumberOfRowsBlocksAndTokens) {
  for (const int64_t rows : {1, 16, 21}) {
    for (const int64_t cols : {32, 64, 96, 160, 256, 512, 768, 9000 / 32 * 32, 35 * 256}) compare(rows, cols, 3, 1);
  }
  for (const float largest : {1e-28f, 1e-10f, 1e10f, 1e30f}) compare(5, 512, 9, largest);
}

std::vector<IntGemmEntry> kernels_of_this_machine(bool blocks) {
  std::vector<IntGemmEntry> entries;
  std::copy_if(
      int_gemm_kernels().begin(), int_gemm_kernels().end(), std::back_inserter(entries),
      [blocks](const IntGemmEntry& entry) { return machine_has(entry.isa) && is_bitstream(entry.codes) != blocks; });
  return entries;
}
std::string name_of_case(const ::testing::TestParamInfo<IntGemmEntry>& info) { return info.param.name; }
INSTANTIATE_TEST_SUITE_P(List, IntGemm, ::testing::ValuesIn(kernels_of_this_machine(false)), name_of_case);
INSTANTIATE_TEST_SUITE_P(List, BlocksGemm, ::testing::ValuesIn(kernels_of_this_machine(true)), name_of_case);
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(BlocksGemm);  // machines without such kernels

TEST(FindIntGemm, GroupsOfSixteenAndWholeRows) {
  EXPECT_EQ(find_int_gemm(Isa::kPortable, 4, CodeKind::kInteger, 32, 576)->isa, Isa::kPortable);
  EXPECT_EQ(find_int_gemm(Isa::kPortable, 4, CodeKind::kQ4_K, 32, 512), nullptr);
  EXPECT_EQ(find_int_gemm(every_isa().back(), 4, CodeKind::kInteger, 24, 576), nullptr);
  EXPECT_NE(find_int_gemm(every_isa().back(), 4, CodeKind::kInteger, 32, 576), nullptr);
  EXPECT_NE(find_int_gemm(every_isa().back(), 4, CodeKind::kInteger, 77, 77), nullptr);
}

// 64-bit ARM has a form for each of its sets of instructions.
TEST(FindIntGemm, TheForcedOneRuns) {
  for (const Isa isa : every_isa()) {
    const IntGemmEntry* found = find_int_gemm(isa, 4, CodeKind::kInteger, 32, 576);
    ASSERT_NE(found, nullptr) << name_of(isa);
    EXPECT_LE(found->isa, isa) << name_of(isa);
    EXPECT_TRUE(std::string_view(found->name).ends_with(found->isa == Isa::kV256 ? "v256" : name_of(found->isa)))
        << found->name;
#if defined(__aarch64__)
    EXPECT_EQ(found->isa, isa) << name_of(isa);
#endif
  }
}

}  // namespace
}  // namespace bitloom
