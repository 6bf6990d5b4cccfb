#include "transform/bias_correction.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"

namespace bitloom {

std::vector<float> corrected_bias(const RowSource& w, const RowSource& q, std::span<const double> mean_x,
                                  std::span<const float> bias, ThreadPool& threads) {
  const int64_t rows = w.rows(), cols = w.cols();
  if (q.rows() != rows || q.cols() != cols || static_cast<int64_t>(mean_x.size()) != cols ||
      static_cast<int64_t>(bias.size()) != rows) {
    fail(ErrorKind::kFailed, "bias correction: W is [{}, {}], Q [{}, {}], {} means of inputs, {} biases", rows, cols,
         q.rows(), q.cols(), mean_x.size(), bias.size());
  }
  constexpr int64_t kTileRows = 64;
  std::vector<float> result(static_cast<size_t>(rows));
  threads.parallel_for((rows + kTileRows - 1) / kTileRows, [&](int64_t tile) {
    const int64_t begin = tile * kTileRows, end = std::min(begin + kTileRows, rows);
    std::vector<float> plain(static_cast<size_t>((end - begin) * cols)), rounded(plain.size());
    w.decode_rows(begin, end, plain.data());
    q.decode_rows(begin, end, rounded.data());
    size_t at = 0;
    for (int64_t r = begin; r < end; ++r) {
      auto sum = static_cast<double>(bias[static_cast<size_t>(r)]);
      for (const double mean : mean_x) {
        sum += (static_cast<double>(plain[at]) - static_cast<double>(rounded[at])) * mean;
        ++at;
      }
      if (!std::isfinite(sum)) fail(ErrorKind::kFailed, "bias correction: the bias of row {} becomes {}", r, sum);
      result[static_cast<size_t>(r)] = static_cast<float>(sum);
    }
  });
  return result;
}

}  // namespace bitloom
