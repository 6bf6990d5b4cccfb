#pragma once
// What every kernel reads of a row; of each source alone, since their flags differ.

#include <cstring>

#include "kernels/sparse_dot/sparse_dot.h"

namespace bitloom {
namespace {

inline int64_t sparse_start(const SparseRows& w, int64_t row) {
  uint32_t start;
  std::memcpy(&start, w.starts + 4 * row, 4);
  return start;
}
inline uint16_t sparse_u16(const std::byte* values, int64_t index) {
  uint16_t value;
  std::memcpy(&value, values + 2 * index, 2);
  return value;
}

}  // namespace
}  // namespace bitloom
