#include "round/gptq/gptq_factor.h"

#include <algorithm>
#include <numeric>

#include "base/error.h"
#include "linalg/cholesky.h"
#include "round/damping.h"
#include "round/gptq/correction.h"

namespace bitloom {
namespace {

void sort_by_falling(std::vector<int64_t>::iterator begin, std::vector<int64_t>::iterator end,
                     const std::vector<float>& diagonal) {
  std::stable_sort(begin, end, [&](int64_t a, int64_t b) {
    return diagonal[static_cast<size_t>(a)] > diagonal[static_cast<size_t>(b)];
  });
}

/// The upper triangle of out = P H P^T with `lambda` added to the diagonal; dead columns get 1 there instead of 0.
/// Memory: H once more, but for the natural order.
void permute_and_damp(const SecondMoment& moment, const GptqFactor& factor, double lambda, float* out,
                      ThreadPool& threads) {
  const int64_t n = factor.channels;
  const std::vector<int64_t>& order = factor.order;
  if (std::is_sorted(order.begin(), order.end())) {
    moment.copy_to(out, threads);
  } else {
    std::vector<float> h(static_cast<size_t>(n * n));
    moment.copy_to(h.data(), threads);
    threads.parallel_for(n, [&](int64_t i) {
      const float* row = h.data() + order[static_cast<size_t>(i)] * n;
      for (int64_t j = i; j < n; ++j) out[i * n + j] = row[order[static_cast<size_t>(j)]];
    });
  }
  for (int64_t i = 0; i < n; ++i) {
    const float own = factor.diagonal[static_cast<size_t>(order[static_cast<size_t>(i)])];
    out[i * n + i] = static_cast<float>((own == 0.0f ? 1.0 : static_cast<double>(own)) + lambda);
  }
}

void check_cross(const SecondMoment& moment, const CrossMoment* cross) {
  if (cross == nullptr || cross->tokens() == 0) {
    fail(ErrorKind::kFailed, "the inputs' own error cannot be compensated: it was not observed");
  }
  if (cross->channels() != moment.channels()) {
    fail(ErrorKind::kFailed, "the second moment has {} channels, the cross moment {}", moment.channels(),
         cross->channels());
  }
}

/// Sets u and damping.
void factorize(const SecondMoment& moment, double damping, GptqFactor& factor, ThreadPool& threads) {
  const int64_t n = factor.channels;
  factor.u.resize(static_cast<size_t>(n * n));
  for (factor.damping = damping; factor.damping < 1; factor.damping += kDampingStep) {
    permute_and_damp(moment, factor, factor.lambda(), factor.u.data(), threads);
    if (reversed_cholesky(factor.u.data(), n, threads) == n) {
      invert_upper(factor.u.data(), n, threads);
      return;
    }
  }
  fail(ErrorKind::kFailed,
       "the second moment of {} channels ({} tokens) is not positive definite with any damping below 1", n,
       moment.tokens());
}

/// P D P^T; rows and columns of dead columns are zero, since their weights count as 0.
std::vector<float> permuted(const CrossMoment& cross, const GptqFactor& factor, ThreadPool& threads) {
  const int64_t n = factor.channels;
  const auto& order = factor.order;
  const auto dead = [&](int64_t column) { return factor.diagonal[static_cast<size_t>(column)] == 0; };
  std::vector<float> out(static_cast<size_t>(n * n));
  threads.parallel_for(n, [&](int64_t i) {
    const int64_t row = order[static_cast<size_t>(i)];
    for (int64_t j = 0; j < n && !dead(row); ++j) {
      const int64_t column = order[static_cast<size_t>(j)];
      const double sum = static_cast<double>(cross.sums()[static_cast<size_t>(row * n + column)]);
      if (!dead(column))
        out[static_cast<size_t>(i * n + j)] = static_cast<float>(sum / static_cast<double>(cross.tokens()));
    }
  });
  return out;
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

GptqFactor make_gptq_factor(const SecondMoment& moment, const CrossMoment* cross, const GptqRounding& options,
                            int64_t group, ThreadPool& threads) {
  if (moment.tokens() == 0) fail(ErrorKind::kFailed, "error feedback needs calibration tokens, and none were seen");
  if (options.correction != 0) check_cross(moment, cross);
  GptqFactor factor;
  factor.channels = moment.channels();
  factor.tokens = moment.tokens();
  for (const double square : moment.mean_squares()) {
    factor.diagonal.push_back(static_cast<float>(square));
    if (factor.diagonal.back() == 0) factor.dead_columns.push_back(static_cast<int64_t>(factor.diagonal.size()) - 1);
  }
  factor.order = column_order(factor.diagonal, options.order, group);
  factorize(moment, options.damping, factor, threads);
  if (options.correction != 0) {
    factor.correction = permuted(*cross, factor, threads);
    make_correction(factor.correction.data(), factor.u.data(), factor.channels, static_cast<float>(options.correction),
                    threads);
  }
  return factor;
}

std::vector<float> GptqFactor::error_costs() const {
  std::vector<float> costs(static_cast<size_t>(channels));
  for (int64_t p = 0; p < channels; ++p) {
    const auto column = static_cast<size_t>(order[static_cast<size_t>(p)]);
    const float own = u[static_cast<size_t>(p * channels + p)];
    costs[column] = diagonal[column] == 0 ? 0 : 1 / (own * own);
  }
  return costs;
}

double GptqFactor::lambda() const {
  double trace = 0;
  for (const float square : diagonal) trace += square == 0 ? 1.0 : static_cast<double>(square);
  return damping * trace / static_cast<double>(channels);
}

}  // namespace bitloom
