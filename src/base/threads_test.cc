#include "base/threads.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <ctime>
#include <stdexcept>
#include <string>
#include <thread>
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

// Of several exceptions the first iteration's is kept, however late it is thrown.
TEST(ThreadPool, TheFirstIterationThatThrowsIsHeard) {
  for (const int count : {1, 2, 5}) {
    ThreadPool pool(count);
    for (int repeat = 0; repeat < 10; ++repeat) {
      try {
        pool.parallel_for(100, [](int64_t i) {
          if (i == 3) std::this_thread::sleep_for(std::chrono::milliseconds(5));
          if (i >= 3) throw std::runtime_error(std::to_string(i));
        });
        FAIL();
      } catch (const std::runtime_error& error) {
        EXPECT_STREQ(error.what(), "3") << count;
      }
    }
  }
}

// Loops in quick succession find workers that look, after a pause workers that sleep; none may miss its call.
TEST(ThreadPool, ManyShortLoopsWithAndWithoutPauses) {
  ThreadPool pool(3);
  int64_t total = 0;  // written by the caller alone, after each loop
  for (int loop = 0; loop < 2000; ++loop) {
    std::atomic<int64_t> sum{0};
    pool.parallel_for(5, [&](int64_t i) { sum += i; });
    total += sum.load();
    if (loop % 100 == 0) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  EXPECT_EQ(total, 2000 * 10);
}

TEST(ThreadPool, TwoCallersShareThePool) {
  ThreadPool pool(2);
  std::atomic<int64_t> total{0};
  const auto call = [&] {
    for (int loop = 0; loop < 500; ++loop) pool.parallel_for(4, [&](int64_t) { ++total; });
  };
  std::thread other(call);
  call();
  other.join();
  EXPECT_EQ(total.load(), 2 * 500 * 4);
}

TEST(ThreadPool, AnIdlePoolUsesNoProcessor) {
  ThreadPool pool(3);
  pool.parallel_for(8, [](int64_t) {});
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  const std::clock_t before = std::clock();
  std::this_thread::sleep_for(std::chrono::milliseconds(100));
  EXPECT_LT(std::clock() - before, CLOCKS_PER_SEC / 50);
}

}  // namespace
}  // namespace bitloom
