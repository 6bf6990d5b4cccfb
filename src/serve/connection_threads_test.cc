#include "serve/connection_threads.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <system_error>

namespace bitloom {
namespace {

/// The most of 20 jobs that ran at once, -1 where some did not run.
int most_at_once(ConnectionThreads& threads) {
  std::atomic<int> running = 0, done = 0, most = 0;
  for (int i = 0; i < 20; ++i) {
    threads.enqueue([&] {
      const int now = ++running;
      for (int before = most; before < now && !most.compare_exchange_weak(before, now);) {
      }
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
      --running;
      ++done;
    });
  }
  threads.shutdown();
  return done == 20 ? most.load() : -1;
}

TEST(ConnectionThreads, RunAllJobsAndNoMoreAtOnceThanAllowed) {
  ConnectionThreads threads(3);
  EXPECT_EQ(most_at_once(threads), 3);
}

TEST(ConnectionThreads, DoWithThoseThatCanBeMade) {
  int left = 2;
  const auto start = [&left](std::function<void()> run) {
    if (left-- <= 0) throw std::system_error(std::make_error_code(std::errc::resource_unavailable_try_again));
    return std::thread(std::move(run));
  };
  {
    ConnectionThreads threads(8, start);
    EXPECT_EQ(most_at_once(threads), 2);
  }
  EXPECT_THROW(ConnectionThreads(8, start), std::system_error);
}

}  // namespace
}  // namespace bitloom
