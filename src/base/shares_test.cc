#include "base/shares.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <thread>
#include <vector>

namespace bitloom {
namespace {

TEST(Shares, EveryIterationRunsOnce) {
  for (const int count : {1, 2, 5}) {
    ThreadPool pool(count);
    Shares shares;
    for (const int64_t n : {0, 1, 2, 3, 7, 1000}) {
      std::vector<std::atomic<int>> runs(static_cast<size_t>(n));
      shares.run(pool, n, [&](int64_t first, int64_t last, int thread) {
        ASSERT_LT(first, last);
        ASSERT_GE(thread, 0);
        ASSERT_LT(thread, count);
        for (int64_t i = first; i < last; ++i) ++runs[static_cast<size_t>(i)];
      });
      for (const auto& run : runs) EXPECT_EQ(run.load(), 1) << count << " " << n;
    }
  }
}

// A thread alone has its share in few ranges that follow each other.
TEST(Shares, RangesFollowEachOtherAndHalve) {
  ThreadPool pool(1);
  Shares shares;
  std::vector<int64_t> ends;
  shares.run(pool, 10, [&](int64_t first, int64_t last, int) {
    EXPECT_EQ(first, ends.empty() ? 0 : ends.back());
    ends.push_back(last);
  });
  EXPECT_EQ(ends, (std::vector<int64_t>{5, 8, 9, 10}));
}

// The share of a thread that is held up is done by the other, but for the range that it is at: this one does not end
// before the rest is done, or not for long.
TEST(Shares, WhoIsDoneHelps) {
  ThreadPool pool(2);
  Shares shares;
  std::atomic<int64_t> others{0};
  std::atomic<bool> held{false};
  int64_t done_while_held = 0;
  shares.run(pool, 64, [&](int64_t first, int64_t last, int) {
    if (first == 0) {
      held = true;
      const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(20);
      while (others < 48 && std::chrono::steady_clock::now() < end) std::this_thread::yield();
      done_while_held = others;
      return;
    }
    while (!held) std::this_thread::yield();
    others += last - first;
  });
  EXPECT_EQ(done_while_held, 48);  // all but the first half of 32
}

// Many loops by threads that race for each other's ranges.
TEST(Shares, RacesLoseNothing) {
  ThreadPool pool(4);
  Shares shares;
  for (int loop = 0; loop < 2000; ++loop) {
    std::atomic<int64_t> sum{0};
    shares.run(pool, 50, [&](int64_t first, int64_t last, int) {
      for (int64_t i = first; i < last; ++i) sum += i;
    });
    ASSERT_EQ(sum.load(), 49 * 25);
  }
}

}  // namespace
}  // namespace bitloom
