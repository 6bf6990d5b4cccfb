#include "pipeline/allocation/storage_error.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "base/dense_matrix.h"
#include "base/ranks.h"
#include "base/rng.h"
#include "round/round_matrix.h"

namespace bitloom {
namespace {

constexpr int64_t kNormalRows = 32, kNormalCols = 128;  // tells an error to about 2 %

DenseMatrix normal_weights() {
  Rng rng(0, 0x6e6f726d);
  std::vector<float> values(static_cast<size_t>(kNormalRows * kNormalCols));
  for (float& value : values) value = static_cast<float>(rng.normal());
  return {kNormalRows, kNormalCols, std::move(values)};
}

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

double StorageErrors::of_sample(const RowSource& w, const RoundingTarget& target) {
  InputCache cache;
  Ranks alone;
  const RoundingProblem problem{"sample", w, target, nullptr, cache, alone, threads_};
  return round_matrix(rounding_without_data(target.storage), problem).report.weight_error;
}

double StorageErrors::error(const RowSource& w, const RoundingTarget& target) {
  if (!target.storage.side.frame.present()) return of_sample(some_rows(w), target);
  const RoundingTarget inside = without_frame(target);
  const std::string key = to_string(inside);
  if (const auto known = of_normal_weights_.find(key); known != of_normal_weights_.end()) return known->second;
  return of_normal_weights_[key] = of_sample(normal_weights(), inside);
}

}  // namespace bitloom
