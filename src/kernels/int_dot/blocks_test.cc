// Kernels of ggml's blocks against io's exact decoders.

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <iterator>
#include <vector>

#include "base/memory/dtype.h"
#include "base/rng.h"
#include "kernels/int_dot/int_dot.h"
#include "kernels/int_dot/round_input.h"
#include "kernels/int_dot/test_blocks.h"

namespace bitloom {
namespace {

using testing::extremes_of;
using testing::kind_of;
using testing::random_blocks;
using testing::type_of;

class BlocksDot : public ::testing::TestWithParam<IntDotEntry> {
 protected:
  void compare(int64_t rows, int64_t cols, int64_t tokens, float largest) const {
    const IntDotEntry& entry = GetParam();
    const GgmlType& type = type_of(entry.codes);
    if (cols % type.block_elements != 0) return;
    EXPECT_EQ(kind_of(entry.codes).bytes, type.block_bytes);
    const int64_t group = kind_of(entry.codes).group, blocks = cols / type.block_elements;
    const int64_t row_bytes = blocks * type.block_bytes;
    Rng rng(static_cast<uint64_t>(rows + cols), 0x626c6f636b73);
    const testing::GuardedVector<std::byte> bytes = random_blocks(entry.codes, rows * blocks, rng);
    testing::GuardedVector<float> x(static_cast<size_t>(tokens * cols)), y(static_cast<size_t>(tokens * rows)),
        w(x.size());
    for (float& value : x) value = largest * (static_cast<float>(rng.next_u32()) * 0x1p-31f - 1.0f);
    w.resize(static_cast<size_t>(rows * cols));
    type.decode(bytes.data(), rows * blocks, w.data());
    IntDotCall call;
    call.w.codes = bytes.data(), call.w.rows = rows, call.w.cols = cols, call.w.row_bytes = row_bytes;
    call.w.group = group, call.last = rows, call.tokens = tokens, call.y = y.data(), call.y_stride = rows;
    const int64_t stride = (cols + kInputPadding - 1) / kInputPadding * kInputPadding, lanes = stride / 4;
    const int64_t planes = entry.input == DotInput::kInt8 ? 1 : 3;
    testing::GuardedVector<int8_t> digits(static_cast<size_t>(tokens * planes * stride));
    testing::GuardedVector<float> scales(static_cast<size_t>(tokens * lanes)),
        sums(static_cast<size_t>(tokens * cols / group));
    testing::GuardedVector<int32_t> high(scales.size()), rest(scales.size());
    call.rounded = {digits.data(), scales.data(), high.data(), planes == 3 ? rest.data() : nullptr, stride};
    for (int64_t t = 0; t < tokens; ++t) {
      round_input(x.data() + t * cols, cols, entry.input, entry.order,
                  {digits.data() + t * planes * stride, scales.data() + t * lanes, high.data() + t * lanes,
                   rest.data() + t * lanes, stride});
    }
    for (int64_t t = 0; t < tokens; ++t)
      sum_groups(call.rounded, entry.order, t, cols, group, &sums[size_t(t * cols / group)]);
    call.group_sums = sums.data();
    entry.kernel(call);
    // As in int_dot_test.cc, of the greatest codes, middle and minimum.
    for (int64_t i = 0; i < tokens * rows; ++i) {
      double want = 0, magnitude = 0;
      for (int64_t c = 0; c < cols; ++c) {
        const float weight = w[static_cast<size_t>(i % rows * cols + c)];
        want += static_cast<double>(weight) * x[static_cast<size_t>(i / rows * cols + c)];
        magnitude += (std::abs(static_cast<double>(weight)) + extremes_of(entry.codes).most) * largest;
      }
      const double error = entry.input == DotInput::kInt8 ? 1.0 / 254 : 8 * 0x1p-24;
      ASSERT_NEAR(y[static_cast<size_t>(i)], want, (error + static_cast<double>(cols) * 0x1p-24) * magnitude)
          << entry.name << " [" << rows << ", " << cols << "] " << i;
    }
  }
};

TEST_P(BlocksDot, EveryNumberOfRowsBlocksAndTokens) {
  for (const int64_t rows : {1, 3, 4, 9}) {
    for (const int64_t cols : {32, 64, 96, 128, 160, 256, 512, 576, 768, 9000 / 32 * 32, 35 * 256})
      compare(rows, cols, 1 + rows % 3, 1);
  }
}

TEST_P(BlocksDot, InputsOfAnySize) {
  for (const float largest : {1e-28f, 1e-10f, 1e10f, 1e30f}) compare(5, 96, 1, largest), compare(5, 256, 1, largest);
}

std::vector<IntDotEntry> block_kernels() {
  std::vector<IntDotEntry> entries;
  std::copy_if(int_dot_kernels().begin(), int_dot_kernels().end(), std::back_inserter(entries),
               [](const IntDotEntry& entry) { return machine_has(entry.isa) && !is_bitstream(entry.codes); });
  return entries;
}
INSTANTIATE_TEST_SUITE_P(List, BlocksDot, ::testing::ValuesIn(block_kernels()),
                         [](const auto& param_info) { return std::string(param_info.param.name); });
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(BlocksDot);  // machines without such kernels

}  // namespace
}  // namespace bitloom
