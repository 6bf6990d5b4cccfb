#pragma once
// A fixed set of threads that share loops. Passed by reference, never global.
//
// Goals: the same bytes for any number of threads. A loop's iterations must not depend on which thread runs them or on
// how many there are: cut work into pieces of a size that does not depend on thread_count().
// Non-goals: nested parallelism (a nested parallel_for runs serially on its own thread), futures, priorities.

#include <cstdint>
#include <functional>
#include <memory>

namespace bitloom {

class ThreadPool {
 public:
  /// `count` threads in all, the caller's included. 0 means one per processor this process may use.
  explicit ThreadPool(int count = 0);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int thread_count() const;

  /// Runs body(i) for i in [0, n), taken in order, on all threads; returns when all are done. Of exceptions that of the
  /// least i, the same for any number of threads, is rethrown here after the others have stopped; no more are begun.
  void parallel_for(int64_t n, const std::function<void(int64_t)>& body);

  /// Like parallel_for, with the index of the running thread in [0, thread_count()) for scratch buffers. A nested loop
  /// runs with index 0: its scratch must be its own.
  void parallel_for_thread(int64_t n, const std::function<void(int64_t i, int thread)>& body);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace bitloom
