#pragma once
// A loop whose threads have shares of their own, of neighbours, so that what each reads follows each other in memory.
//
// Goals: work as even as that of threads that take turns, whatever their speeds. Non-goals: the order of iterations,
// and ranges that do not depend on the threads.

#include <cstdint>
#include <functional>
#include <vector>

#include "base/threads.h"

namespace bitloom {

class Shares {
 public:
  Shares();
  ~Shares();
  Shares(const Shares&) = delete;
  Shares& operator=(const Shares&) = delete;

  /// Runs body(first, last, thread) on all threads for ranges that together are [0, n), each once. A thread takes its
  /// share from the front, half of what is left of it at a time; one that is done takes from the backs of the others'.
  /// body must make the same of any ranges, and not throw: of an exception, which is rethrown here, the ranges that are
  /// not begun any more depend on the threads. n below 2^32 (asserted). One caller at a time; keeps its memory.
  void run(ThreadPool& threads, int64_t n, const std::function<void(int64_t first, int64_t last, int thread)>& body);

 private:
  class Share;
  std::vector<Share> shares_;
};

}  // namespace bitloom
