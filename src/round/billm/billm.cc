#include "round/billm/billm.h"

#include "base/error.h"
#include "format/families/planes/planes_matrix.h"
#include "format/families/planes/planes_storage.h"
#include "round/billm/plane_columns.h"
#include "round/gptq/gptq.h"

namespace bitloom {
namespace {

/// What the options come to where a publication is to be reproduced.
BillmRounding effective(BillmRounding options) {
  if (options.parity == BillmRounding::Parity::kNone) return options;
  options.order = ColumnOrder::kNatural;
  options.feedback = BillmRounding::Feedback::kDiagonal;
  options.groups = BillmRounding::Groups::kFixed;
  options.refine = 0;
  options.split =
      options.parity == BillmRounding::Parity::kCode ? BillmRounding::Split::kSaliency : BillmRounding::Split::kWeight;
  return options;
}

constexpr std::string_view kOrders[] = {"natural", "act-order", "group-aware"};
constexpr std::string_view kFeedbacks[] = {"sequential", "triangular", "diagonal"};
constexpr std::string_view kSplits[] = {"weight", "saliency"};
constexpr std::string_view kGroups[] = {"fixed", "free"};
constexpr std::string_view kParities[] = {"none", "paper", "code"};

constexpr Option kOptions[] = {
    number_option<&BillmRounding::damping>("damping", 0, 0.99, "added to the diagonal, as a share of its mean", "damp"),
    choice_option<&BillmRounding::order>("order", kOrders, "in which columns are rounded"),
    choice_option<&BillmRounding::feedback>("feedback", kFeedbacks, "what of a block's errors is fed forward"),
    choice_option<&BillmRounding::split>("split", kSplits, "what is searched for salient columns and thresholds"),
    choice_option<&BillmRounding::groups>("groups", kGroups, "whether weights keep the group that the threshold says"),
    number_option<&BillmRounding::refine>("refine", 0, 1000, "turns of codes and levels (ARB-LLM)"),
    choice_option<&BillmRounding::parity>("parity", kParities, "reproduces the paper, or its code"),
};

}  // namespace

Needs needs_of(const BillmRounding&) { return {.second_moment = true}; }

bool rounds_onto(const BillmRounding&, const Storage& storage) {
  return storage.base.get_if<PlanesStorage>() != nullptr && storage.side == SideTerms{};
}

Storage storage_by(const BillmRounding&, Storage wanted) { return wanted; }

/// The searches try 130 candidates on every weight, 16 at a time.
RoundingCost cost_of(const BillmRounding& options, const RoundingShape& shape) {
  constexpr double kSearches = 60, kTurn = 6;  // in weights rounded to nearest
  const double weights = static_cast<double>(shape.rows) * static_cast<double>(shape.cols);
  const double turns = static_cast<double>(effective(options).refine);
  RoundingCost cost =
      feedback_cost(shape, {.separable = false, .nearest = (kSearches + kTurn * turns) * weights}, false);
  // Levels of every row and block, with the policy and as they are handed over; codes likewise.
  const int64_t blocks = shape.target.storage.base.get<PlanesStorage>().blocks(shape.cols);
  cost.bytes += 2 * shape.rows * (shape.cols + blocks * static_cast<int64_t>(sizeof(PlaneLevels)));
  return cost;
}

Rounded round_by(const BillmRounding& options, const RoundingProblem& problem) {
  const BillmRounding actual = effective(options);
  const int64_t block = problem.target.storage.base.get<PlanesStorage>().block;
  if (actual.order == ColumnOrder::kActivation) {
    misuse("{}: act-order takes the blocks of {} apart; 'group-aware' keeps them together", problem.place,
           to_string(problem.target.storage));
  }
  const GptqFactor& factor = shared_factor({.damping = actual.damping, .order = actual.order}, block, problem);
  const std::vector<float> costs = factor.error_costs();
  const auto policies = make_plane_policies(
      {problem.place, problem.weights, problem.target.storage, factor.order, costs, actual}, problem.threads);
  GptqReport report;
  Rounded result;
  result.matrix =
      quantize_columns(problem.place, problem.weights, *policies, factor, problem.ranks, problem.threads, &report);
  result.report = feedback_report(report, factor, actual.damping);
  return result;
}

constinit const RoundingRow kBillmMethod =
    rounding_row<BillmRounding>("billm", kOptions, "error feedback onto binary planes (planes-g128, ...)",
                                "binary planes by error feedback (BiLLM)");

}  // namespace bitloom
