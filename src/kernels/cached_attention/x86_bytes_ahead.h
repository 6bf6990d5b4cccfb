#pragma once
// In an unnamed namespace: for sources with flags of their own.

#include <algorithm>
#include <cstddef>
#include <cstdint>

namespace bitloom {
namespace {

/// Memory that is read soon, asked for a few lines at a time while other bytes are multiplied: a processor that is
/// asked for many at once waits.
class BytesAhead {
 public:
  /// `bytes` bytes, in at least `steps` calls of fetch().
  BytesAhead(const std::byte* first, int64_t bytes, int64_t steps)
      : next_(first), lines_((bytes + kLine - 1) / kLine), of_step_((lines_ + steps - 1) / steps) {}

  void fetch() {
    for (int64_t i = std::min(of_step_, lines_); i > 0; --i, --lines_, next_ += kLine) __builtin_prefetch(next_);
  }

 private:
  static constexpr int64_t kLine = 64;
  const std::byte* next_;
  int64_t lines_, of_step_;
};

}  // namespace
}  // namespace bitloom
