#pragma once
// Loops over the rows of an activation matrix.

#include <algorithm>
#include <cstdint>
#include <vector>

#include "base/threads.h"

namespace bitloom {

/// Rows one thread takes at a time: enough work to pay for the hand-over, whatever the number of threads.
inline constexpr int64_t kRowChunk = 16;

/// body(row) for every row in [0, rows), in chunks on all threads. Rows must not depend on each other.
template <typename Body>
void for_rows(ThreadPool& threads, int64_t rows, const Body& body) {
  if (rows <= kRowChunk) {
    for (int64_t row = 0; row < rows; ++row) body(row);
    return;
  }
  threads.parallel_for((rows + kRowChunk - 1) / kRowChunk, [&](int64_t chunk) {
    const int64_t end = std::min(rows, (chunk + 1) * kRowChunk);
    for (int64_t row = chunk * kRowChunk; row < end; ++row) body(row);
  });
}

/// Rows of a short pass that threads take one by one: of fewer one thread is done before others come.
inline constexpr int64_t kFewestRows = 4;

/// The same for the rows of a pass, which do not meet in RowSums either: of a short one row by row.
template <typename Body>
void for_pass_rows(ThreadPool& threads, int64_t rows, const Body& body) {
  if (rows < kFewestRows || rows > kRowChunk) return for_rows(threads, rows, body);
  threads.parallel_for(rows, [&body](int64_t row) { body(row); });
}

/// Sums over the rows of a loop by for_rows(), the same for any number of threads: each chunk of rows has its own.
class RowSums {
 public:
  RowSums(int64_t rows, int64_t width)
      : width_(width), sums_(static_cast<size_t>((rows + kRowChunk - 1) / kRowChunk * width)) {}
  /// [width]: what the row, and those of its chunk before it, have added.
  double* of(int64_t row) { return sums_.data() + row / kRowChunk * width_; }
  /// total [width] += the sum over all rows.
  void add_to(std::vector<double>& total) const {
    for (size_t i = 0; i < sums_.size(); ++i) total[i % static_cast<size_t>(width_)] += sums_[i];
  }

 private:
  int64_t width_;
  std::vector<double> sums_;
};

}  // namespace bitloom
