// Every kernel of the list that this machine can run against the reference.

#include "kernels/dense_dot/dense_dot.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <iterator>
#include <vector>

#include "base/rng.h"
#include "kernels/dense_dot/reference.h"
#include "kernels/guarded.h"

namespace bitloom {
namespace {

struct RandomDense {
  RandomDense(DType dtype, int64_t rows, int64_t cols, int64_t tokens, float largest, bool permuted) {
    Rng rng(static_cast<uint64_t>(rows * 131 + cols), 0x64656e7365);
    const auto values = [&rng](int64_t count, float scale) {
      testing::GuardedVector<float> out(static_cast<size_t>(count));
      for (float& value : out) value = scale * (static_cast<float>(rng.next_u32()) * 0x1p-31f - 1.0f);
      return out;
    };
    weights.resize(static_cast<size_t>(bytes_of(dtype, rows * cols)));
    encode_from_f32(dtype, values(rows * cols, 1).data(), rows * cols, weights.data());
    x = values(tokens * cols, largest);
    y.assign(static_cast<size_t>(tokens * rows), std::nanf(""));
    order = testing::guarded<int64_t>(rows, [next = rows]() mutable { return --next; });
    call = {weights.data(), permuted ? order.data() : nullptr, cols, 0, rows, tokens, x.data(), y.data(), rows};
  }
  testing::GuardedVector<std::byte> weights;
  testing::GuardedVector<int64_t> order;
  testing::GuardedVector<float> x, y;
  DenseDotCall call;
};

class DenseDot : public ::testing::TestWithParam<DenseDotEntry> {};

TEST_P(DenseDot, EveryShapeAndSizeOfInputs) {
  const DenseDotEntry& entry = GetParam();
  for (const int64_t rows : {1, 3, 4, 5, 9}) {
    for (const int64_t cols : {1, 7, 8, 15, 16, 17, 33, 64, 100, 257}) {
      for (const float largest : {1e-30f, 1.0f, 1e30f}) {
        RandomDense dot(entry.dtype, rows, cols, 1 + cols % 3, largest, rows % 2 == 0);
        entry.kernel(dot.call);
        for (int64_t i = 0; i < dot.call.tokens * rows; ++i) {
          const ReferenceDenseDot want = dense_dot_reference(dot.call, entry.dtype, i / rows, i % rows);
          // fp32 sums of n products err by at most n u times the sum of their absolute values, whatever the order.
          ASSERT_NEAR(dot.y[static_cast<size_t>(i)], want.value,
                      static_cast<double>(cols + 1) * 0x1p-24 * want.magnitude)
              << rows << " x " << cols;
        }
      }
    }
  }
}

TEST_P(DenseDot, APieceOfTheRowsGivesTheSameBitsAndTouchesNoOther) {
  RandomDense whole(GetParam().dtype, 11, 77, 2, 1, false), piece(GetParam().dtype, 11, 77, 2, 1, false);
  GetParam().kernel(whole.call);
  piece.call.first = 2, piece.call.last = 9;
  GetParam().kernel(piece.call);
  for (size_t i = 0; i < whole.y.size(); ++i) {
    if (i % 11 >= 2 && i % 11 < 9) {
      EXPECT_EQ(piece.y[i], whole.y[i]);
    } else {
      EXPECT_TRUE(std::isnan(piece.y[i]));
    }
  }
}

TEST_P(DenseDot, TokensTogetherGiveTheBitsOfEachAlone) {
  constexpr int64_t kRows = 39;  // more than pass at once, and odd ones
  for (const int64_t tokens : {2, 3, 4, 5, 8, 9}) {
    for (const int64_t cols : {5, 16, 77}) {
      RandomDense all(GetParam().dtype, kRows, cols, tokens, 1, false);
      GetParam().kernel(all.call);
      for (int64_t t = 0; t < tokens; ++t) {
        std::vector<float> alone(kRows);
        DenseDotCall call = all.call;
        call.x += t * cols, call.tokens = 1, call.y = alone.data();
        GetParam().kernel(call);
        EXPECT_TRUE(std::equal(alone.begin(), alone.end(), all.y.begin() + t * kRows))
            << tokens << " " << cols << " " << t;
      }
    }
  }
}

std::vector<DenseDotEntry> kernels_of_this_machine() {
  std::vector<DenseDotEntry> entries;
  std::copy_if(dense_dot_kernels().begin(), dense_dot_kernels().end(), std::back_inserter(entries),
               [](const DenseDotEntry& entry) { return machine_has(entry.isa); });
  return entries;
}
INSTANTIATE_TEST_SUITE_P(List, DenseDot, ::testing::ValuesIn(kernels_of_this_machine()),
                         [](const auto& param_info) { return std::string(param_info.param.name); });

TEST(FindDenseDot, TheAskedIsaOrTheNextLower) {
  EXPECT_EQ(find_dense_dot(Isa::kPortable, DType::kBF16)->isa, Isa::kPortable);
  EXPECT_NE(find_dense_dot(every_isa().back(), DType::kF16), nullptr);
  EXPECT_EQ(find_dense_dot(every_isa().back(), DType::kF64), nullptr);
}

}  // namespace
}  // namespace bitloom
