#include "round/feedback_factor.h"

#include <algorithm>
#include <numeric>

#include "base/error.h"
#include "linalg/cholesky.h"

namespace bitloom {
namespace {

void sort_by_falling(std::vector<int64_t>::iterator begin, std::vector<int64_t>::iterator end,
                     const std::vector<float>& diagonal) {
  std::stable_sort(begin, end, [&](int64_t a, int64_t b) {
    return diagonal[static_cast<size_t>(a)] > diagonal[static_cast<size_t>(b)];
  });
}

/// out = P H P^T with `lambda` added to the diagonal; dead columns get 1 there instead of 0.
void permute_and_damp(const SecondMoment& moment, const FeedbackFactor& factor, double lambda, float* out,
                      ThreadPool& threads) {
  const int64_t n = factor.channels;
  threads.parallel_for(n, [&](int64_t i) {
    const int64_t row = factor.order[static_cast<size_t>(i)];
    for (int64_t j = 0; j < n; ++j) {
      out[i * n + j] = static_cast<float>(moment.mean(row, factor.order[static_cast<size_t>(j)]));
    }
    const float own = factor.diagonal[static_cast<size_t>(row)];
    out[i * n + i] = static_cast<float>((own == 0.0f ? 1.0 : static_cast<double>(own)) + lambda);
  });
}

}  // namespace

std::vector<int64_t> column_order(const std::vector<float>& diagonal, ColumnOrder order, int64_t group) {
  const auto n = static_cast<int64_t>(diagonal.size());
  std::vector<int64_t> columns(static_cast<size_t>(n));
  std::iota(columns.begin(), columns.end(), int64_t{0});
  if (order == ColumnOrder::kNatural) return columns;
  if (order == ColumnOrder::kActivation || group <= 0 || group >= n) {
    sort_by_falling(columns.begin(), columns.end(), diagonal);
    return columns;
  }
  const int64_t whole_groups = n / group;
  std::vector<float> greatest;
  for (int64_t g = 0; g < whole_groups; ++g) {
    sort_by_falling(columns.begin() + g * group, columns.begin() + (g + 1) * group, diagonal);
    greatest.push_back(diagonal[static_cast<size_t>(columns[static_cast<size_t>(g * group)])]);
  }
  sort_by_falling(columns.begin() + whole_groups * group, columns.end(), diagonal);
  std::vector<int64_t> groups(static_cast<size_t>(whole_groups));
  std::iota(groups.begin(), groups.end(), int64_t{0});
  sort_by_falling(groups.begin(), groups.end(), greatest);
  std::vector<int64_t> result;
  for (const int64_t g : groups) {
    result.insert(result.end(), columns.begin() + g * group, columns.begin() + (g + 1) * group);
  }
  result.insert(result.end(), columns.begin() + whole_groups * group, columns.end());
  return result;
}

FeedbackFactor make_feedback_factor(const SecondMoment& moment, const FactorOptions& options, ThreadPool& threads) {
  if (moment.tokens() == 0) fail(ErrorKind::kFailed, "error feedback needs calibration tokens, and none were seen");
  FeedbackFactor factor;
  const int64_t n = factor.channels = moment.channels();
  factor.tokens = moment.tokens();
  double trace = 0;
  for (const double square : moment.mean_squares()) {
    factor.diagonal.push_back(static_cast<float>(square));
    if (square == 0) factor.dead_columns.push_back(static_cast<int64_t>(factor.diagonal.size()) - 1);
    trace += square == 0 ? 1.0 : square;
  }
  factor.order = column_order(factor.diagonal, options.order, options.group);
  factor.u.resize(static_cast<size_t>(n * n));
  const double mean = trace / static_cast<double>(n);
  for (factor.damping = options.damping; factor.damping < 1; factor.damping += options.damping_step) {
    permute_and_damp(moment, factor, factor.damping * mean, factor.u.data(), threads);
    if (reversed_cholesky(factor.u.data(), n, threads) == n) {
      invert_upper(factor.u.data(), n, threads);
      return factor;
    }
  }
  fail(ErrorKind::kFailed,
       "the second moment of {} channels ({} tokens) is not positive definite with any damping below 1", n,
       moment.tokens());
}

}  // namespace bitloom
