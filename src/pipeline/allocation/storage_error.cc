#include "pipeline/allocation/storage_error.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "base/dense_matrix.h"
#include "round/plain_error.h"

namespace bitloom {
namespace {

constexpr int64_t kNormalRows = 32, kNormalCols = 128;  // tells an error to about 2 %

/// Evenly spaced rows.
DenseMatrix some_rows(const RowSource& w) {
  const int64_t rows = std::min(w.rows(), kSampleRows);
  std::vector<float> values(static_cast<size_t>(rows * w.cols()));
  for (int64_t i = 0; i < rows; ++i) {
    const int64_t r = i * w.rows() / rows;
    w.decode_rows(r, r + 1, values.data() + i * w.cols());
  }
  return {rows, w.cols(), std::move(values)};
}

}  // namespace

double StorageErrors::error(const RowSource& w, const RoundingTarget& target) {
  if (!target.storage.side.frame.present()) return plain_error(some_rows(w), target, threads_).error;
  const std::string key = to_string(without_frame(target));
  const auto known = of_normal_weights_.find(key);
  if (known != of_normal_weights_.end()) return known->second;
  return of_normal_weights_[key] = plain_error_of_normal(target, kNormalRows, kNormalCols, threads_).error;
}

}  // namespace bitloom
