// GPTQ as a method of recipes: what it costs, and what matrices that read one input share.
#include <algorithm>
#include <string>

#include "base/error.h"
#include "format/families/affine/affine_storage.h"
#include "round/damping.h"
#include "round/gptq/gptq.h"
#include "round/predicted_kl/predicted_kl.h"
#include "round/round_matrix.h"

namespace bitloom {
namespace {

constexpr std::string_view kOrders[] = {"natural", "act-order", "group-aware"};

// Damping below 1: see make_gptq_factor.
constexpr Option kOptions[] = {
    number_option<&GptqRounding::damping>("damping", 0, 0.99, "added to the diagonal, as a share of its mean", "damp"),
    choice_option<&GptqRounding::order>("order", kOrders, "in which columns are rounded"),
    flag_option<&GptqRounding::static_groups>("static-groups",
                                              "group scales from the original weights, as M2 always has them"),
    number_option<&GptqRounding::correction>("correction", 0, 1, "share of the inputs' own error compensated (GPTAQ)"),
    flag_option<&GptqRounding::guided>("guided", "tokens weighted by the squares of their outputs' gradients"),
};

/// What a factor depends on.
struct FactorKey {
  GptqRounding options;
  int64_t group = 0;   // where the order depends on it
  std::string matrix;  // where moments are its own
  bool operator==(const FactorKey&) const = default;
};

/// Columns that share a scale; of other storages all.
int64_t group_of(const RoundingProblem& problem) {
  const RowSource& w = problem.weights;
  if (const auto* affine = problem.target.storage.base.get_if<AffineStorage>()) return affine->width(w.cols());
  const auto* grid = problem.target.storage.base.get_if<GridStorage>();
  return grid == nullptr ? w.cols() : scale_shape(*grid, w.rows(), w.cols()).group_cols;
}

}  // namespace

const GptqFactor& shared_factor(const GptqRounding& options, int64_t group, const RoundingProblem& problem) {
  const bool guided = options.guided;
  const FactorKey key{options, options.order == ColumnOrder::kGroupAware ? group : 0, guided ? problem.place : ""};
  if (guided && options.correction != 0) {
    misuse(
        "{}: gptq corrects its inputs' own error by all tokens alike, so 'correction' and 'guided' do not go together",
        problem.place);
  }
  const CrossMoment* cross = problem.inputs->cross ? &*problem.inputs->cross : nullptr;
  try {
    return problem.shared.get<GptqFactor>(key, [&] {
      const SecondMoment& moment = guided ? problem.guided->in() : *problem.inputs->moment;
      return make_gptq_factor(moment, guided ? nullptr : cross, options, group, problem.threads);
    });
  } catch (const Error& error) {
    fail(error.kind(), "{}: {}", problem.place, error.what());
  }
}

RoundReport feedback_report(const GptqReport& report, const GptqFactor& factor, double damping) {
  RoundReport all = report.rounding;
  record_damping(damping, factor.damping, all);
  return all;
}

Needs needs_of(const GptqRounding& options) {
  return {.second_moment = !options.guided, .cross_moment = options.correction != 0, .guided_moment = options.guided};
}

bool rounds_onto(const GptqRounding&, const Storage& storage) { return has_column_policies(storage); }

Storage storage_by(const GptqRounding&, Storage wanted) { return wanted; }

/// The factor and the matrix it is made from, with a correction one more; three tiles in fp32 and codes per thread, or
/// three times the whole matrix where rows are not separable.
RoundingCost feedback_cost(const RoundingShape& shape, const ColumnPolicyCost& policy, bool corrects) {
  const auto n = static_cast<double>(shape.rows), d = static_cast<double>(shape.cols);
  const int64_t tile = std::min(kGptqTileRows, shape.rows) * shape.cols;
  return {.nearest = policy.nearest,
          .loop = n * d * d / static_cast<double>(policy.separable ? shape.ranks : 1),
          .shared_factor = 4.0 / 3.0 * d * d * d,
          .shared_flops = corrects ? 4 * d * d * d : 0,
          .bytes = (policy.separable ? shape.threads * tile : shape.rows * shape.cols) * (3 * 4 + 1),
          .shared_bytes = 4 * shape.cols * shape.cols * (corrects ? 3 : 2)};
}

RoundingCost cost_of(const GptqRounding& options, const RoundingShape& shape) {
  return feedback_cost(shape, column_policy_cost(shape), options.correction != 0 && shape.gathered.cross_moment);
}

Rounded round_by(const GptqRounding& options, const RoundingProblem& problem) {
  const GptqFactor& factor = shared_factor(options, group_of(problem), problem);
  GptqReport report;
  auto matrix = quantize_gptq(problem.place, problem.weights, problem.target, factor, options.static_groups,
                              problem.ranks, problem.threads, &report);
  return {std::move(matrix), feedback_report(report, factor, options.damping)};
}

double feedback_share_by(const GptqRounding& options, const RoundingProblem& problem, const GuidedMoments& errors) {
  GptqRounding plain = options;
  plain.correction = 0;  // changes what is rounded, not how errors spread
  const GptqFactor& factor = shared_factor(plain, group_of(problem), problem);
  const int64_t n = factor.channels;
  std::vector<float> spread(static_cast<size_t>(n * n));  // [column, place in the order]: where a place's error goes
  for (int64_t p = 0; p < n; ++p) {
    const float* row = factor.u.data() + p * n;
    for (int64_t q = p; q < n; ++q) {
      spread[static_cast<size_t>(factor.order[static_cast<size_t>(q)] * n + p)] = row[q] / row[p];
    }
  }
  return share_of_trace(spread, errors.in(), problem.threads);
}

constinit const RoundingRow kGptqMethod = rounding_row<GptqRounding>(
    "gptq", kOptions, "each column's error fed into the columns not yet rounded", "rounded with error feedback (GPTQ)");

}  // namespace bitloom
