#include "base/rng.h"

#include <gtest/gtest.h>

namespace bitloom {
namespace {

// Known answers of Philox4x32-10 from the Random123 distribution.
TEST(Rng, PhiloxKnownAnswers) {
  using Block = std::array<uint32_t, 4>;
  EXPECT_EQ(philox4x32({0, 0, 0, 0}, {0, 0}), (Block{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  EXPECT_EQ(philox4x32({0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff}, {0xffffffff, 0xffffffff}),
            (Block{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  EXPECT_EQ(philox4x32({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}),
            (Block{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

TEST(Rng, SameSeedAndStreamRepeatOthersDiffer) {
  Rng a(7, 1), b(7, 1), other_stream(7, 2), other_seed(8, 1);
  for (int i = 0; i < 9; ++i) {
    const uint32_t value = a.next_u32();
    EXPECT_EQ(value, b.next_u32());
    EXPECT_NE(value, other_stream.next_u32());
    EXPECT_NE(value, other_seed.next_u32());
  }
}

// Mean and variance of n draws lie within six standard errors of the exact ones.
TEST(Rng, MomentsOfUniformAndNormal) {
  constexpr int kDraws = 100000;
  Rng rng(1, 1);
  double uniform_sum = 0, normal_sum = 0, normal_squares = 0;
  for (int i = 0; i < kDraws; ++i) {
    const double u = rng.uniform_double(), z = rng.normal();
    ASSERT_GE(u, 0.0);
    ASSERT_LT(u, 1.0);
    uniform_sum += u, normal_sum += z, normal_squares += z * z;
  }
  EXPECT_NEAR(uniform_sum / kDraws, 0.5, 6 * 0.2887 / 316.2);
  EXPECT_NEAR(normal_sum / kDraws, 0.0, 6 * 1.0 / 316.2);
  EXPECT_NEAR(normal_squares / kDraws, 1.0, 6 * 1.4143 / 316.2);
}

}  // namespace
}  // namespace bitloom
