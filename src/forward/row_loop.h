#pragma once
// Loops over the rows of an activation matrix.

#include <algorithm>
#include <cstdint>

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

}  // namespace bitloom
