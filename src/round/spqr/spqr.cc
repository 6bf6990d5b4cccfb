#include "round/spqr/spqr.h"

#include <utility>
#include <vector>

#include "format/families/affine/affine_storage.h"
#include "round/column_loop/affine_columns.h"
#include "round/gptq/gptq.h"
#include "round/scale/whole_matrix.h"

namespace bitloom {
namespace {

/// Mean over columns of var(w_j) cost_j, the variance that of a sample.
double outlier_scale(const RoundingProblem& problem, const std::vector<float>& costs) {
  const RowSource& w = problem.weights;
  const auto cols = static_cast<size_t>(w.cols());
  const TileReader tiles(problem.place, w, 1, problem.threads);
  std::vector<std::vector<double>> sums(static_cast<size_t>(tiles.tiles()));  // of w, then of w^2
  tiles.for_each([&](int64_t tile, int64_t, int64_t rows, const float* values) {
    std::vector<double>& own = sums[static_cast<size_t>(tile)];
    own.assign(2 * cols, 0);
    for (int64_t i = 0; i < rows * w.cols(); ++i) {
      const double x = values[i];
      const size_t c = static_cast<size_t>(i) % cols;
      own[c] += x, own[cols + c] += x * x;
    }
  });
  const auto n = static_cast<double>(w.rows());
  double scale = 0;
  for (size_t c = 0; c < cols; ++c) {
    double sum = 0, squares = 0;
    for (const auto& of_tile : sums) sum += of_tile[c], squares += of_tile[cols + c];
    const double variance = n > 1 ? (squares - sum * sum / n) / (n - 1) : 0;
    scale += variance * static_cast<double>(costs[c]) / static_cast<double>(cols);
  }
  return scale;
}

constexpr std::string_view kOrders[] = {"natural", "act-order", "group-aware"};
constexpr std::string_view kParities[] = {"none", "code"};
constexpr Option kOptions[] = {
    number_option<&SpqrRounding::damping>("damping", 0, 0.99, "added to the diagonal, as a share of its mean", "damp"),
    choice_option<&SpqrRounding::order>("order", kOrders, "in which columns are rounded"),
    number_option<&SpqrRounding::threshold>("threshold", 0, 1e6, "what an error must cost to be kept, in mean columns"),
    number_option<&SpqrRounding::most>("most", 0.0001, 0.5, "share of the weights kept in fp16, at most"),
    choice_option<&SpqrRounding::parity>("parity", kParities, "scales as in the authors' code"),
};

}  // namespace

Needs needs_of(const SpqrRounding&) { return {.second_moment = true}; }

bool rounds_onto(const SpqrRounding&, const Storage& storage) {
  return is_affine(storage) && !storage.base.get<AffineStorage>().mixed;
}

Storage storage_by(const SpqrRounding& options, Storage wanted) {
  wanted.side.outliers.most = options.most;
  return wanted;
}

/// Two more fits of every group than by GPTQ.
RoundingCost cost_of(const SpqrRounding&, const RoundingShape& shape) {
  RoundingCost cost = feedback_cost(shape, {.separable = true, .nearest = 3 * affine_work(shape)}, false);
  cost.bytes += 2 * shape.rows * shape.cols;
  return cost;
}

double spqr_published_bits(const Storage& storage, double kept_share) {
  return storage.base.nominal_bits(4096, 4096) + 32 * kept_share;
}

Rounded round_by(const SpqrRounding& options, const RoundingProblem& problem) {
  const int64_t group = problem.target.storage.base.get<AffineStorage>().width(problem.weights.cols());
  const GptqFactor& factor = shared_factor({.damping = options.damping, .order = options.order}, group, problem);
  const std::vector<float> costs = factor.error_costs();
  AffinePlan plan;
  if (options.parity == SpqrRounding::Parity::kCode) plan.search = AffineSearch::kRange, plan.leaves_out_at_once = true;
  plan.threshold = options.threshold * outlier_scale(problem, costs);
  plan.most_kept = options.most;
  const ColumnProblem columns{problem.place, problem.weights, problem.target, factor.order, costs, false};
  const auto policies =
      make_affine_policies(columns, storage_by(options, problem.target.storage), std::move(plan), problem.threads);
  GptqReport report;
  Rounded result;
  result.matrix =
      quantize_columns(problem.place, problem.weights, *policies, factor, problem.ranks, problem.threads, &report);
  result.report = feedback_report(report, factor, options.damping);
  return result;
}

constinit const RoundingRow kSpqrMethod = rounding_row<SpqrRounding>(
    "spqr", kOptions, "small groups of scaled scales, costly weights in fp16 (affine3-g16-s3)",
    "small groups beside costly weights in fp16 (SpQR)");

}  // namespace bitloom
