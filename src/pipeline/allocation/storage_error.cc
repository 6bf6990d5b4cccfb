#include "pipeline/allocation/storage_error.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>
#include <utility>
#include <vector>

#include "base/memory/dense_matrix.h"
#include "format/families/vector/block_vectors.h"
#include "round/plain_error.h"
#include "round/rounding.h"
#include "round/trellis/tile_code.h"

namespace bitloom {
namespace {

constexpr int64_t kNormalRows = 32, kNormalCols = 128;  // tells an error to about 2 %

/// Whether parts are fitted to more of a matrix than a sample of it has, whose error would then be too small.
bool is_fitted_to_all(const Storage& storage) {
  return storage.side.low_rank.present() || storage.base.get_if<BlockVectorStorage>() != nullptr;
}

/// What is rounded of a [rows, cols] matrix.
struct SampleShape {
  int64_t rows, cols;
};
SampleShape sample_of(int64_t rows, int64_t cols, const RoundingTarget& target) {
  if (is_fitted_to_all(target.storage)) return {rows, cols};
  if (target.storage.side.frame.present()) return {kNormalRows, kNormalCols};
  return {std::min(rows, kSampleRows), cols};
}

/// Evenly spaced rows.
DenseMatrix some_rows(const RowSource& w, int64_t rows) {
  std::vector<float> values(static_cast<size_t>(rows * w.cols()));
  for (int64_t i = 0; i < rows; ++i) {
    const int64_t r = i * w.rows() / rows;
    w.decode_rows(r, r + 1, values.data() + i * w.cols());
  }
  return {rows, w.cols(), std::move(values)};
}

}  // namespace

double StorageErrors::error(const RowSource& w, const RoundingTarget& target) {
  const auto [rows, cols] = sample_of(w.rows(), w.cols(), target);
  if (!target.storage.side.frame.present()) return plain_error(some_rows(w, rows), target, threads_).error;
  const std::string key = fmt::format("{} {} {}", to_string(without_frame(target)), rows, cols);
  const auto known = of_normal_weights_.find(key);
  if (known != of_normal_weights_.end()) return known->second;
  return of_normal_weights_[key] = plain_error_of_normal(target, rows, cols, threads_).error;
}

int64_t error_memory(int64_t rows, int64_t cols, const RoundingTarget& target, int64_t threads) {
  constexpr int64_t kCopies = 4;  // in fp32: the sample, what a method that works tile by tile has of it, as it decodes
  const SampleShape sample = sample_of(rows, cols, target);
  const RoundingTarget rounded = without_frame(target);
  const RoundingCost cost =
      cost_of(rounding_without_data(rounded.storage), {sample.rows, sample.cols, rounded, {}, threads});
  int64_t stored = 0;
  for (const TensorPart& part : greatest_parts(rounded.storage, sample.rows, sample.cols)) {
    stored += bytes_of(part);
  }
  const int64_t weights = 4 * sample.rows * sample.cols;
  return std::max(kCopies * weights, weights + cost.bytes + stored);
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
