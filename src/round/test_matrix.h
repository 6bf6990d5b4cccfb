#pragma once
// For tests only: matrices in memory and what rounding does to them.

#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include "base/memory/dense_matrix.h"
#include "base/rng.h"
#include "base/threads.h"
#include "observe/input_statistics.h"
#include "round/nearest/nearest.h"

namespace bitloom::testing {

/// Normal weights whose rows differ in size.
inline DenseMatrix normal_matrix(int64_t rows, int64_t cols, uint64_t seed, double mean = 0) {
  Rng rng(seed, 77);
  std::vector<float> w;
  for (int64_t r = 0; r < rows; ++r) {
    const double size = 0.02 * (1 + 3 * rng.uniform());
    for (int64_t c = 0; c < cols; ++c) w.push_back(static_cast<float>(size * (rng.normal() + mean)));
  }
  return {rows, cols, std::move(w)};
}

/// Student's t with 5 degrees of freedom, of size 0.02: heavier tails than normal ones.
inline DenseMatrix heavy_tailed_matrix(int64_t rows, int64_t cols) {
  Rng rng(1, 5);
  std::vector<float> w(static_cast<size_t>(rows * cols));
  for (float& x : w) {
    double squares = 0;
    for (int i = 0; i < 5; ++i) squares += std::pow(rng.normal(), 2);
    x = static_cast<float>(0.02 * rng.normal() / std::sqrt(squares / 5));
  }
  return {rows, cols, std::move(w)};
}

/// Statistics of `tokens` inputs x_c = size(c) y_c, y_c = n_c + share y_(c-1), n normal. A size of 0: nothing is ever
/// read there.
template <typename Size>
InputStatistics correlated_inputs(int64_t channels, int64_t tokens, float share, const Size& size,
                                  ThreadPool& threads) {
  std::vector<float> x(static_cast<size_t>(tokens * channels));
  Rng rng(4, 2);
  for (size_t i = 0; i < x.size(); ++i) {
    const bool first = static_cast<int64_t>(i) % channels == 0;
    x[i] = static_cast<float>(rng.normal()) + (first ? 0.0f : share * x[i - 1]);
  }
  for (size_t i = 0; i < x.size(); ++i) x[i] *= size(static_cast<int64_t>(i) % channels);
  InputStatistics inputs(channels);
  inputs.add(x.data(), x.data(), tokens, threads);
  return inputs;
}

inline std::shared_ptr<const StoredMatrix> round_matrix(const RowSource& w, const std::string& target,
                                                        RoundReport* report = nullptr,
                                                        const float* importance = nullptr) {
  ThreadPool threads(1);
  return quantize_nearest("w", w, parse_grid_target(target), threads, report, importance);
}

inline RoundReport report_of(const RowSource& w, const std::string& target) {
  RoundReport report;
  round_matrix(w, target, &report);
  return report;
}

inline double error_of(const RowSource& w, const std::string& target) { return report_of(w, target).weight_error; }

}  // namespace bitloom::testing
