// Every kernel of the list that this machine can run against the reference.

#include "kernels/bf16_gemm/bf16_gemm.h"

#include <gtest/gtest.h>

#include <cmath>
#include <iterator>
#include <limits>
#include <vector>

#include "kernels/bf16_gemm/reference.h"
#include "kernels/bf16_gemm/test_input.h"

namespace bitloom {
namespace {

using testing::RandomBf16;

class Bf16Gemm : public ::testing::TestWithParam<Bf16GemmEntry> {
 protected:
  /// A product of two numbers of 8 bits has 16, so fp32 holds it; whatever the order, no term passes more than `cols`
  /// sums, each of which errs by at most 2^-24 of what all terms can come to. Of the two steps for each term, each that
  /// ends below 2^-126 loses it.
  static void expect_reference(const RandomBf16& random) {
    const Bf16GemmCall& call = random.call;
    const double cols = static_cast<double>(call.cols);
    for (int64_t t = 0; t < call.tokens; ++t) {
      for (int64_t r = 0; r < call.last; ++r) {
        const ReferenceBf16Product want = bf16_gemm_reference(call, random.x.data(), t, r);
        ASSERT_NEAR(random.y[static_cast<size_t>(t * call.y_stride + r)], want.value,
                    (cols + 1) * 0x1p-24 * want.magnitude + 2 * cols * 0x1p-126)
            << call.last << " x " << call.cols << ", token " << t << " of " << call.tokens << ", row " << r;
      }
    }
  }
};

TEST_P(Bf16Gemm, EveryShapeAndSizeOfInputs) {
  uint32_t seed = 0;
  for (const int64_t rows : {1, 15, 16, 17, 64, 65, 130, 200}) {
    for (const int64_t cols : {1, 2, 3, 31, 32, 33, 100, 257}) {
      for (const int64_t tokens : {1, 2, 3, 4, 5, 6, 7, 9, 13, 18}) {
        const float largest = tokens % 3 == 0 ? 1e-38f : tokens % 3 == 1 ? 1.0f : 1e30f;
        RandomBf16 random(rows, cols, tokens, largest, rows % 2 == 0, ++seed);
        GetParam().kernel(random.call);
        expect_reference(random);
      }
    }
  }
}

TEST_P(Bf16Gemm, MoreColumnsThanAPanelHas) {
  for (const int64_t past : {1, 70}) {
    RandomBf16 random(66, 2 * bf16_gemm_cols(int64_t{1} << 20) + past, 8, 1, false, 3);
    ASSERT_LT(bf16_gemm_cols(random.call.cols), random.call.cols);
    GetParam().kernel(random.call);
    expect_reference(random);
  }
}

// Else a row's bits would depend on who has which rows, and a token's on the prompt's other tokens.
TEST_P(Bf16Gemm, PiecesOfRowsAndTokensGiveTheSameBitsAndTouchNoOther) {
  RandomBf16 whole(300, 77, 15, 1, false, 1), piece(300, 77, 15, 1, false, 1);
  GetParam().kernel(whole.call);
  piece.call.first = 5, piece.call.last = 270;
  GetParam().kernel(piece.call);
  for (int64_t i = 0; i < 15 * 300; ++i) {
    const float value = piece.y[static_cast<size_t>(i)];
    if (i % 300 >= 5 && i % 300 < 270) {
      ASSERT_EQ(value, whole.y[static_cast<size_t>(i)]) << i;
    } else {
      ASSERT_TRUE(std::isnan(value)) << i;
    }
  }
  for (int64_t t = 0; t < 15; ++t) {
    RandomBf16 alone(300, 77, 1, 1, false, 1);
    std::copy_n(whole.x.begin() + t * 77, 77, alone.x.begin());
    alone.round();
    GetParam().kernel(alone.call);
    for (int64_t r = 0; r < 300; ++r) {
      ASSERT_EQ(alone.y[static_cast<size_t>(r)], whole.y[static_cast<size_t>(t * 300 + r)]) << t << " " << r;
    }
  }
}

TEST_P(Bf16Gemm, DenormalsCountAsZeros) {
  RandomBf16 random(20, 64, 7, 1, false, 1);
  random.w.assign(random.w.size(), 0x007F);  // below 2^-126
  std::fill(random.x.begin(), random.x.end(), 1e30f);
  random.round();
  GetParam().kernel(random.call);
  for (const float y : random.y) ASSERT_EQ(y, 0.0f);
}

TEST_P(Bf16Gemm, WhatIsNoNumberStaysNone) {
  RandomBf16 random(70, 40, 7, 1, false, 1);
  random.x[2 * 40 + 39] = std::numeric_limits<float>::infinity();
  random.w[69 * 40 + 3] = 0x7FC0;
  random.round();
  GetParam().kernel(random.call);
  for (int64_t i = 0; i < 7 * 70; ++i) {
    EXPECT_EQ(std::isfinite(random.y[static_cast<size_t>(i)]), i / 70 != 2 && i % 70 != 69) << i;
  }
}

std::vector<Bf16GemmEntry> kernels_of_this_machine() {
  std::vector<Bf16GemmEntry> entries;
  std::copy_if(bf16_gemm_kernels().begin(), bf16_gemm_kernels().end(), std::back_inserter(entries),
               [](const Bf16GemmEntry& entry) { return machine_has(entry.isa); });
  return entries;
}
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(Bf16Gemm);
INSTANTIATE_TEST_SUITE_P(List, Bf16Gemm, ::testing::ValuesIn(kernels_of_this_machine()),
                         [](const auto& param_info) { return std::string(param_info.param.name); });

TEST(RoundToBf16, NearestEvenPaddedWithZeros) {
  for (const int64_t tokens : {1, 4, 5, 6, 7, 20}) {
    for (const int64_t cols : {1, 31, 64, 255, 300}) {
      RandomBf16 random(1, cols, tokens, 3, false, 9);
      const float halfway = 1 + 0x1p-8f, third_halfway = 1 + 3 * 0x1p-8f;  // go down and up to the even ones
      random.x.front() = halfway, random.x.back() = tokens * cols > 1 ? third_halfway : halfway;
      random.round();
      for (int64_t t = 0; t < tokens; ++t) {
        for (int64_t c = 0; c < random.call.x.stride; ++c) {
          const uint16_t want = c < cols ? f32_to_bf16(random.x[static_cast<size_t>(t * cols + c)]) : uint16_t{0};
          ASSERT_EQ(random.rounded(t, c), want) << t << " " << c;
        }
      }
      EXPECT_EQ(bf16_to_f32(random.rounded(0, 0)), 1.0f);
    }
  }
}

TEST(FindBf16Gemm, OnlyWhereTheInstructionsAre) {
  EXPECT_EQ(find_bf16_gemm(Isa::kPortable), nullptr);
  for (const Isa isa : every_isa()) {
    const Bf16GemmEntry* found = find_bf16_gemm(isa);
    EXPECT_TRUE(found == nullptr || found->isa <= isa);
  }
}

}  // namespace
}  // namespace bitloom
