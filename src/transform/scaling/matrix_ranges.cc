#include "transform/scaling/matrix_ranges.h"

#include <algorithm>
#include <cmath>

namespace bitloom {
namespace {

constexpr int64_t kTileRows = 256;

/// body(first row, last row, their values, thread) for tiles of fixed size.
template <typename Body>
void for_each_tile(const RowSource& w, ThreadPool& threads, const Body& body) {
  std::vector<std::vector<float>> scratch(static_cast<size_t>(threads.thread_count()));
  threads.parallel_for_thread((w.rows() + kTileRows - 1) / kTileRows, [&](int64_t tile, int thread) {
    const int64_t begin = tile * kTileRows, end = std::min(begin + kTileRows, w.rows());
    std::vector<float>& values = scratch[static_cast<size_t>(thread)];
    values.resize(static_cast<size_t>((end - begin) * w.cols()));
    w.decode_rows(begin, end, values.data());
    body(begin, end, values.data(), thread);
  });
}

}  // namespace

std::vector<float> column_absmax(const RowSource& w, ThreadPool& threads) {
  const auto cols = static_cast<size_t>(w.cols());
  std::vector<std::vector<float>> partial(static_cast<size_t>(threads.thread_count()), std::vector<float>(cols));
  for_each_tile(w, threads, [&](int64_t begin, int64_t end, const float* values, int thread) {
    float* greatest = partial[static_cast<size_t>(thread)].data();
    for (int64_t r = begin; r < end; ++r, values += cols) {
      for (size_t c = 0; c < cols; ++c) greatest[c] = std::max(greatest[c], std::abs(values[c]));
    }
  });
  std::vector<float> result(cols);
  for (const std::vector<float>& part : partial) {
    for (size_t c = 0; c < cols; ++c) result[c] = std::max(result[c], part[c]);
  }
  return result;
}

std::vector<float> row_absmax(const RowSource& w, ThreadPool& threads) {
  std::vector<float> result(static_cast<size_t>(w.rows()));
  for_each_tile(w, threads, [&](int64_t begin, int64_t end, const float* values, int) {
    for (int64_t r = begin; r < end; ++r, values += w.cols()) {
      float& greatest = result[static_cast<size_t>(r)];
      for (int64_t c = 0; c < w.cols(); ++c) greatest = std::max(greatest, std::abs(values[c]));
    }
  });
  return result;
}

}  // namespace bitloom
