#include "base/threads.h"

#include <gtest/gtest.h>

#include <atomic>
#include <stdexcept>
#include <vector>

namespace bitloom {
namespace {

TEST(ThreadPool, EveryIterationRunsOnce) {
  for (const int count : {1, 2, 5}) {
    ThreadPool pool(count);
    EXPECT_EQ(pool.thread_count(), count);
    for (const int64_t n : {0, 1, 2, 1000}) {
      std::vector<std::atomic<int>> runs(static_cast<size_t>(n));
      pool.parallel_for_thread(n, [&](int64_t i, int thread) {
        ASSERT_GE(thread, 0);
        ASSERT_LT(thread, count);
        ++runs[static_cast<size_t>(i)];
      });
      for (const auto& run : runs) EXPECT_EQ(run.load(), 1);
    }
  }
}

TEST(ThreadPool, NestedLoopsRunSerially) {
  ThreadPool pool(3);
  std::atomic<int> total{0};
  pool.parallel_for(8, [&](int64_t) { pool.parallel_for(10, [&](int64_t) { ++total; }); });
  EXPECT_EQ(total.load(), 80);
}

TEST(ThreadPool, FirstExceptionReachesTheCallerAndThePoolLivesOn) {
  ThreadPool pool(2);
  EXPECT_THROW(pool.parallel_for(100,
                                 [](int64_t i) {
                                   if (i == 7) throw std::runtime_error("seven");
                                 }),
               std::runtime_error);
  std::atomic<int> total{0};
  pool.parallel_for(100, [&](int64_t) { ++total; });
  EXPECT_EQ(total.load(), 100);
}

}  // namespace
}  // namespace bitloom
