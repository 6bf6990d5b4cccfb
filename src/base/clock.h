#pragma once
// Time that only goes forward, in seconds: for measuring, never for results.

#include <chrono>

namespace bitloom {

inline double steady_seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

class Stopwatch {
 public:
  double seconds() const { return steady_seconds() - start_; }

 private:
  double start_ = steady_seconds();
};

}  // namespace bitloom
