#pragma once
// What a storage takes from a matrix, before the matrix is rounded.

#include <map>
#include <string>
#include <vector>

#include "base/memory/row_source.h"
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

/// Bytes that error() takes on so many threads for a [rows, cols] matrix, beside that: the weights that are rounded,
/// and what rounding makes and holds of them.
int64_t error_memory(int64_t rows, int64_t cols, const RoundingTarget& target, int64_t threads);

/// v [rows], the variance that the error has in each row for t = 1, sum_r cols v_r = sum w^2: the row's mean square,
/// since scales follow rows; evened out over what a frame's rotation of the outputs mixes, and over the whole matrix
/// for a trellis code or lattice, which has one scale, unless the frame has one for each row.
std::vector<double> noise_of_rows(const RowSource& w, const RoundingTarget& target, ThreadPool& threads);

}  // namespace bitloom
