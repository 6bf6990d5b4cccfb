#include "hardware/dot_peak.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "base/clock.h"
#include "base/simd/cpu_features.h"

namespace bitloom {
namespace {

// Bytes are a quarter of floats: no processor multiplies fewer of them in a vector, none so many more. A single busy
// core still makes more than a product in ten nanoseconds. Pairs of BF16 numbers are as wide as those floats: twice as
// many in a vector, of which some processors start half as many.
TEST(DotPeak, IntegersAreTwoToEightTimesAsMany) {
  ThreadPool one(1);
  DotPeak best;
  for (int i = 0; i < 3; ++i) {
    const DotPeak peak = measure_dot_peak(one, steady_seconds);
    best = {std::max(best.int8, peak.int8), std::max(best.bf16, peak.bf16), std::max(best.fp32, peak.fp32)};
  }
  EXPECT_EQ(best.int8 > 0, machine_has(Isa::kV256));
  EXPECT_EQ(best.fp32 > 0, machine_has(Isa::kV256));
  EXPECT_TRUE(best.fp32 == 0 || best.fp32 > 1e9) << best.fp32;
  EXPECT_EQ(best.bf16 > 0, machine_has(Isa::kAvx512Bf16));
  EXPECT_TRUE(best.bf16 == 0 || (best.bf16 > 1.5 * best.fp32 && best.bf16 < 1.5 * best.int8)) << best.bf16;
  EXPECT_TRUE(best.int8 == 0 || (best.int8 > 1.5 * best.fp32 && best.int8 < 12 * best.fp32)) << best.int8;
}

TEST(DotPeak, AClockThatStandsStillSaysNothing) {
  ThreadPool one(1);
  EXPECT_EQ(measure_dot_peak(one, [] { return 1.0; }).fp32, 0);
}

}  // namespace
}  // namespace bitloom
