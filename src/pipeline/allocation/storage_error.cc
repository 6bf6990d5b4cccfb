#include "pipeline/allocation/storage_error.h"

#include <algorithm>
#include <numeric>
#include <utility>
#include <vector>

#include "base/dense_matrix.h"
#include "format/families/trellis/trellis_storage.h"
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

std::vector<double> noise_of_rows(const RowSource& w, const RoundingTarget& target, ThreadPool& threads) {
  std::vector<double> squares(static_cast<size_t>(w.rows()));
  threads.parallel_for(w.rows(), [&](int64_t r) {
    std::vector<float> row(static_cast<size_t>(w.cols()));
    w.decode_rows(r, r + 1, row.data());
    double sum = 0;
    for (const float value : row) sum += double{value} * value;
    squares[static_cast<size_t>(r)] = sum / static_cast<double>(w.cols());
  });
  const FrameStorage& frame = target.storage.side.frame;
  if (frame.out_scales) return squares;
  int64_t alike = frame.out_block > 0 ? out_rotation(frame, w.rows()).block() : 1;
  if (target.storage.base.get_if<TrellisStorage>() != nullptr) alike = w.rows();
  for (auto begin = squares.begin(); begin != squares.end(); begin += alike) {
    std::fill_n(begin, alike, std::accumulate(begin, begin + alike, 0.0) / static_cast<double>(alike));
  }
  return squares;
}

}  // namespace bitloom
