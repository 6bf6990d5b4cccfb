#include "base/clock.h"

#include <gtest/gtest.h>

namespace bitloom {
namespace {

void wait_for_a_tick() {
  const double start = steady_seconds();
  while (steady_seconds() == start) {
  }
}

TEST(ScopedTimer, AddsItsLifeToASum) {
  double sum = 1;
  const Stopwatch watch;
  {
    const ScopedTimer timer(sum);
    wait_for_a_tick();
    EXPECT_EQ(sum, 1);  // at its end, not before
  }
  EXPECT_GT(sum, 1);
  EXPECT_LE(sum, 1 + watch.seconds());
}

}  // namespace
}  // namespace bitloom
