#include "base/clock.h"

#include <gtest/gtest.h>

#include <thread>

namespace bitloom {
namespace {

void wait_for_a_tick() {
  const double start = steady_seconds();
  while (steady_seconds() == start) {
  }
}

TEST(ProcessorSeconds, CountsWhatEveryThreadComputes) {
  const double start = processor_seconds();
  std::thread([] {
    const double begin = processor_seconds();
    while (processor_seconds() < begin + 0.01) {
    }
  }).join();
  EXPECT_GE(processor_seconds() - start, 0.01);
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
