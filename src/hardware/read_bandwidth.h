#pragma once
// How fast this machine reads memory: the roof of decoding, where every weight is read once per token.

#include <cstdint>
#include <functional>
#include <memory>

#include "base/threads.h"

namespace bitloom {

/// Bytes that no cache holds: four times the last level's size, at least 256 MiB, at most 512 MiB.
int64_t bandwidth_buffer_bytes();

/// A buffer that all threads of a pool stream through.
class BandwidthProbe {
 public:
  /// Writes the whole buffer, each piece by a thread of the pool, so that its pages exist.
  BandwidthProbe(ThreadPool& threads, int64_t bytes);

  int64_t bytes() const { return count_ * static_cast<int64_t>(sizeof(uint64_t)); }
  /// Reads the whole buffer once; bytes per second by `clock` (seconds).
  double pass(const std::function<double()>& clock);
  /// Sum of all words modulo 2^64, as the last pass read them: proof that it did.
  uint64_t sum() const { return sum_; }

 private:
  ThreadPool& threads_;
  int64_t count_;
  std::unique_ptr<uint64_t[]> words_;
  uint64_t sum_ = 0;
};

}  // namespace bitloom
