#pragma once
// For tests only: a whole method on one page, the example of HACKING.md's "a rounding". "signs" rounds onto the storage
// "sign" of format/toy_family.h: each weight to +m_r or -m_r of its row, with
//
//   m_r = sum_c h_c |w_rc| / sum_c h_c,   h_c = 1, or with "weighted" the mean of x_c^2
//
// which minimises sum_c h_c (w_rc - q_rc)^2.

#include <cmath>
#include <span>
#include <utility>
#include <vector>

#include "base/text/option.h"
#include "format/toy_family.h"
#include "round/round_matrix.h"

namespace bitloom::testing {

struct SignsRounding {
  bool weighted = false;
  bool operator==(const SignsRounding&) const = default;
};

inline constexpr Option kSignsOptions[] = {
    flag_option<&SignsRounding::weighted>("weighted", "errors are weighed by the inputs' mean squares"),
};

inline Needs needs_of(const SignsRounding& options) { return {.second_moment = options.weighted}; }

inline bool rounds_onto(const SignsRounding&, const Storage& storage) {
  return storage.base.get_if<SignStorage>() != nullptr && storage.side == SideTerms{};
}

inline Storage storage_by(const SignsRounding&, Storage wanted) { return wanted; }

inline RoundingCost cost_of(const SignsRounding&, const RoundingShape& shape) {
  return {.nearest = static_cast<double>(shape.rows * shape.cols), .bytes = 8 * shape.rows * shape.cols};
}

inline Rounded round_by(const SignsRounding& options, const RoundingProblem& problem) {
  const RowSource& w = problem.weights;
  const int64_t rows = w.rows(), cols = w.cols();
  const std::vector<double> h =
      options.weighted ? problem.inputs->moment->mean_squares() : std::vector<double>(static_cast<size_t>(cols), 1.0);
  const std::vector<float> original = w.decode_all();
  std::vector<float> rounded(original.size());
  Rounded result;
  double error = 0, norm = 0;
  for (int64_t r = 0; r < rows; ++r) {
    double sum = 0, weight = 0;
    for (int64_t c = 0; c < cols; ++c) {
      const double importance = h[static_cast<size_t>(c)];
      sum += importance * std::abs(static_cast<double>(original[static_cast<size_t>(r * cols + c)]));
      weight += importance;
    }
    const auto magnitude = f16_to_f32(f32_to_f16(static_cast<float>(weight > 0 ? sum / weight : 0)));
    for (int64_t c = 0; c < cols; ++c) {
      const auto i = static_cast<size_t>(r * cols + c);
      rounded[i] = std::copysign(magnitude, original[i]);
      const double difference = static_cast<double>(original[i]) - static_cast<double>(rounded[i]);
      error += difference * difference, norm += static_cast<double>(original[i]) * static_cast<double>(original[i]);
      result.report.max_abs_error = std::max(result.report.max_abs_error, std::abs(difference));
    }
  }
  result.report.weight_error = norm > 0 ? error / norm : 0;
  result.matrix =
      stored_from_bytes(problem.place, problem.target.storage, rows, cols, pack_signs(rounded.data(), rows, cols));
  return result;
}

inline constexpr RoundingRow kSignsMethod =
    rounding_row<SignsRounding>("signs", kSignsOptions, "signs and a magnitude per row", "rounded to signs");

}  // namespace bitloom::testing
