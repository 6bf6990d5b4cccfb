#include "pipeline/allocation/storage_error.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>
#include <utility>
#include <vector>

#include "base/memory/dense_matrix.h"
#include "format/families/vector/block_vectors.h"
#include "round/plain_error.h"
#include "round/trellis/tile_code.h"

namespace bitloom {
namespace {

constexpr int64_t kNormalRows = 32, kNormalCols = 128;  // tells an error to about 2 %

/// Whether parts are fitted to more of a matrix than a sample of it has, whose error would then be too small.
bool is_fitted_to_all(const Storage& storage) {
  return storage.side.low_rank.present() || storage.base.get_if<BlockVectorStorage>() != nullptr;
}

/// Evenly spaced rows.
DenseMatrix some_rows(const RowSource& w, int64_t most) {
  const int64_t rows = std::min(w.rows(), most);
  std::vector<float> values(static_cast<size_t>(rows * w.cols()));
  for (int64_t i = 0; i < rows; ++i) {
    const int64_t r = i * w.rows() / rows;
    w.decode_rows(r, r + 1, values.data() + i * w.cols());
  }
  return {rows, w.cols(), std::move(values)};
}

}  // namespace

double StorageErrors::error(const RowSource& w, const RoundingTarget& target) {
  const bool all = is_fitted_to_all(target.storage);
  if (!target.storage.side.frame.present()) {
    return plain_error(some_rows(w, all ? w.rows() : kSampleRows), target, threads_).error;
  }
  const int64_t rows = all ? w.rows() : kNormalRows, cols = all ? w.cols() : kNormalCols;
  const std::string key = fmt::format("{} {} {}", to_string(without_frame(target)), rows, cols);
  const auto known = of_normal_weights_.find(key);
  if (known != of_normal_weights_.end()) return known->second;
  return of_normal_weights_[key] = plain_error_of_normal(target, rows, cols, threads_).error;
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
  if (is_tile_storage({target.storage.base, {}})) alike = w.rows();
  for (auto begin = squares.begin(); begin != squares.end(); begin += alike) {
    std::fill_n(begin, alike, std::accumulate(begin, begin + alike, 0.0) / static_cast<double>(alike));
  }
  return squares;
}

}  // namespace bitloom
