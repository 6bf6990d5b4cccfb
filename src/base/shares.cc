#include "base/shares.h"

#include <algorithm>
#include <atomic>
#include <cassert>

namespace bitloom {

/// What is left of a share, [first, last), in one word, which its owner and others change. A cache line of its own.
class alignas(64) Shares::Share {
 public:
  void set(int64_t first, int64_t last) { left_.store(pack({first, last})); }

  struct Range {
    int64_t first, last;
    bool empty() const { return first == last; }
  };
  /// Half of what is left, rounded up, from the front or the back.
  Range take(bool front) {
    uint64_t left = left_.load();
    for (;;) {
      const Range all = {static_cast<int64_t>(left >> 32), static_cast<int64_t>(left & 0xffffffff)};
      const int64_t half = (all.last - all.first + 1) / 2, middle = front ? all.first + half : all.last - half;
      const Range before = {all.first, middle}, after = {middle, all.last};
      if (half == 0 || left_.compare_exchange_weak(left, pack(front ? after : before))) return front ? before : after;
    }
  }

 private:
  static uint64_t pack(const Range& range) {
    return static_cast<uint64_t>(range.first) << 32 | static_cast<uint64_t>(range.last);
  }
  std::atomic<uint64_t> left_{0};
};

Shares::Shares() = default;
Shares::~Shares() = default;

void Shares::run(ThreadPool& threads, int64_t n,
                 const std::function<void(int64_t first, int64_t last, int thread)>& body) {
  assert(n < int64_t{1} << 32);
  const int64_t count = std::min<int64_t>(threads.thread_count(), n);
  if (static_cast<int64_t>(shares_.size()) < count) shares_ = std::vector<Share>(static_cast<size_t>(count));
  for (int64_t i = 0; i < count; ++i) shares_[static_cast<size_t>(i)].set(n * i / count, n * (i + 1) / count);
  threads.parallel_for_thread(count, [&](int64_t own, int thread) {
    for (int64_t i = 0; i < count; ++i) {
      Share& share = shares_[static_cast<size_t>((own + i) % count)];
      for (Share::Range range = share.take(i == 0); !range.empty(); range = share.take(i == 0)) {
        body(range.first, range.last, thread);
      }
    }
  });
}

}  // namespace bitloom
