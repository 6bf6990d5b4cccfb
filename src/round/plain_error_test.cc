#include "round/plain_error.h"

#include <gtest/gtest.h>

namespace bitloom {
namespace {

double error_of(const char* target, int64_t rows = 256) {
  ThreadPool threads(2);
  return plain_error_of_normal(parse_target(target), rows, 256, threads).error;
}

// papers' beyond page, 1.6: the league on a unit Gaussian. 65536 weights tell an error to 0.6 %, the page's to 2 %.
TEST(PlainError, TheLeagueOnAUnitGaussian) {
  EXPECT_NEAR(error_of("nf4-g64"), .0085, .02 * .0085 + 3 * .006 * .0085);
  EXPECT_NEAR(error_of("table4-tensor-mse"), .0095, .03 * .0095);
  EXPECT_NEAR(error_of("codebook1-tensor"), .3634, .01 * .3634);
  EXPECT_NEAR(error_of("codebook2-tensor"), .1175, .015 * .1175);
  EXPECT_NEAR(error_of("codebook4-tensor"), .00950, .02 * .00950);
}

// The fixed tables of T6V2 and T6V1, 16 tiles of 65536 states: 4096 weights tell an error to 2.2 %.
TEST(PlainError, TrellisCodesOnAUnitGaussian) {
  EXPECT_NEAR(error_of("trellis2", 16), .0671, 3 * .022 * .0671);
  EXPECT_NEAR(error_of("trellis1", 16), .266, 3 * .022 * .266);
  EXPECT_NEAR(error_of("trellis3", 16), .0169, 3 * .022 * .0169);
}

TEST(PlainError, AFrameIsLeftOut) { EXPECT_EQ(error_of("int3-row+frame-in64-out64", 64), error_of("int3-row", 64)); }

}  // namespace
}  // namespace bitloom
