#include "round/lattice/nearest_point.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "base/error.h"
#include "round/lattice/e8p_search.h"
#include "round/weight_report.h"

namespace bitloom {

bool is_e8p(const Storage& storage) {
  return storage.base.get_if<E8pStorage>() != nullptr && storage.side == SideTerms{};
}

Rounded round_to_points(const RoundingProblem& problem) {
  const int64_t rows = problem.weights.rows(), cols = problem.weights.cols();
  const int64_t groups = (cols + kE8pGroup - 1) / kE8pGroup;
  const std::vector<float> w = problem.weights.decode_all();
  double squares = 0;
  for (size_t i = 0; i < w.size(); ++i) {
    const auto at = static_cast<int64_t>(i);
    if (!std::isfinite(w[i])) refuse("{}: weight [{}, {}] is {}", problem.place, at / cols, at % cols, w[i]);
    squares += static_cast<double>(w[i]) * static_cast<double>(w[i]);
  }
  const double rms = std::sqrt(squares / std::max<double>(1, static_cast<double>(w.size())));
  const auto scale = static_cast<float>(rms / (4 * kE8pUnits));
  const float inverse = scale > 0 ? 1 / (4 * scale) : 0;
  std::vector<uint16_t> codes(static_cast<size_t>(rows * groups));
  const E8pSearch search;
  problem.threads.parallel_for(rows, [&](int64_t r) {
    for (int64_t j = 0; j < groups; ++j) {
      float x[kE8pGroup] = {};
      for (int64_t i = 0; i < std::min(kE8pGroup, cols - j * kE8pGroup); ++i) {
        x[i] = w[static_cast<size_t>(r * cols + j * kE8pGroup + i)] * inverse;
      }
      codes[static_cast<size_t>(r * groups + j)] = search.find(x);
    }
  });
  Rounded rounded;
  rounded.matrix = stored_from_bytes(problem.place, problem.target.storage, rows, cols, pack_e8p(codes, scale));
  measure_weights(problem.weights, *rounded.matrix, rounded.report);
  return rounded;
}

}  // namespace bitloom
