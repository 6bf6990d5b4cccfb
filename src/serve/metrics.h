#pragma once
// What a server counts, in the text form of Prometheus (exposition format 0.0.4).

#include <cstdint>
#include <map>
#include <mutex>
#include <string>

#include "runtime/batch/batcher.h"

namespace bitloom {

class Metrics {
 public:
  /// A response of this status; any thread.
  void count(int status);
  std::string text(const BatchCounts& counts) const;

 private:
  mutable std::mutex lock_;
  std::map<int, int64_t> responses_;
};

}  // namespace bitloom
