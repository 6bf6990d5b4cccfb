#pragma once
// What a storage takes from a matrix, before the matrix is rounded.

#include <map>
#include <string>

#include "base/row_source.h"
#include "base/threads.h"
#include "round/target.h"

namespace bitloom {

/// Relative squared errors t = sum (w - q)^2 / sum w^2 of rounding without data: of kSampleRows rows of the matrix, or,
/// in a frame (format/side/frame.h), of normal weights, which is what the frame makes of any.
class StorageErrors {
 public:
  explicit StorageErrors(ThreadPool& threads) : threads_(threads) {}
  double error(const RowSource& w, const RoundingTarget& target);

 private:
  ThreadPool& threads_;
  std::map<std::string, double> of_normal_weights_;  // by storage
};

inline constexpr int64_t kSampleRows = 128;

}  // namespace bitloom
