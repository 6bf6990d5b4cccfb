#include "calibration/coverage.h"

#include <algorithm>

namespace bitloom {

double vocabulary_share(std::span<const std::vector<int32_t>> sequences, int64_t vocab_size) {
  std::vector<bool> used(static_cast<size_t>(vocab_size), false);
  for (const std::vector<int32_t>& sequence : sequences) {
    for (const int32_t id : sequence) used[static_cast<size_t>(id)] = true;
  }
  return static_cast<double>(std::count(used.begin(), used.end(), true)) / static_cast<double>(vocab_size);
}

}  // namespace bitloom
