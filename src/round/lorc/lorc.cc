#include "round/lorc/lorc.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "base/memory/dense_matrix.h"
#include "round/gptq/gptq.h"
#include "round/lorc/low_rank_pair.h"
#include "round/nearest/nearest.h"
#include "round/output_error.h"
#include "round/round_matrix.h"
#include "round/scale/whole_matrix.h"

namespace bitloom {
namespace {

Rounding method_of(const LorcRounding& options) {
  return options.codes == LorcRounding::Codes::kGptq ? Rounding(GptqRounding{}) : Rounding(NearestRounding{});
}

/// What the codes are chosen for, `weights` being the matrix or what the product leaves of it.
RoundingProblem problem_of_codes(const RoundingProblem& problem, const RowSource& weights) {
  RoundingTarget target = problem.target;
  target.storage = without_pair(target.storage);
  return {problem.place, weights,         target,         problem.inputs,      problem.shared,
          problem.ranks, problem.threads, problem.guided, problem.on_progress, problem.activations};
}

class Compensation {
 public:
  Compensation(const LorcRounding& options, const RoundingProblem& problem)
      : options_(options),
        problem_(problem),
        method_(method_of(options)),
        rows_(problem.weights.rows()),
        cols_(problem.weights.cols()),
        rank_(rank_of(problem.target.storage.side.low_rank, rows_, cols_)),
        w_(TileReader(problem.place, problem.weights, 1, problem.threads).decode_all()) {
    if (!options.weighted) return;
    h_.resize(static_cast<size_t>(cols_ * cols_));
    problem.inputs->moment->copy_to(h_.data(), problem.threads);
  }

  Rounded run() {
    Rounded best = choose(problem_.weights);
    double least = loss(*best.matrix);
    for (int64_t round = 1; round < options_.rounds; ++round) {
      std::vector<float> rest = w_;
      subtract_product(pair_, rows_, cols_, rest, problem_.threads);
      Rounded next = choose(DenseMatrix(rows_, cols_, std::move(rest)));
      const double now = loss(*next.matrix);
      if (now < least) least = now, best = std::move(next);
    }
    count_errors(w_, *best.matrix, best.report);
    return best;
  }

 private:
  /// Codes of these weights, and the product that is best beside them.
  Rounded choose(const RowSource& weights) {
    Rounded rounded = method_.row().round(method_.options(), problem_of_codes(problem_, weights));
    const StoredMatrix& codes = *rounded.matrix;
    std::vector<float> e = w_;
    const std::vector<float> q = codes.decode_all();
    for (size_t i = 0; i < e.size(); ++i) e[i] -= q[i];
    pair_ = best_pair(e, rows_, cols_, h_.empty() ? nullptr : h_.data(), rank_, problem_.threads);
    auto compensated = with_pair(problem_, codes, pair_);
    if (!(loss(*compensated) <= loss(codes))) {
      rounded.report.remarks.emplace_back("the low-rank product is 0: in its storage it would lose more than it gains");
      pair_ = {std::vector<float>(static_cast<size_t>(rank_ * rows_)),
               std::vector<float>(static_cast<size_t>(rank_ * cols_))};
      compensated = with_pair(problem_, codes, pair_);
    }
    rounded.matrix = std::move(compensated);
    return rounded;
  }

  double loss(const StoredMatrix& matrix) const {
    if (options_.weighted) {
      return output_error(problem_.weights, matrix, *problem_.inputs->moment, problem_.threads);
    }
    RoundReport report;
    count_errors(w_, matrix, report);
    return report.weight_error;
  }

  const LorcRounding& options_;
  const RoundingProblem& problem_;
  const Rounding method_;
  int64_t rows_, cols_, rank_;
  std::vector<float> w_, h_;
  LowRankPair pair_;  // of the last turn
};

}  // namespace

Needs needs_of(const LorcRounding& options) {
  Needs needs = needs_of(method_of(options));
  needs.second_moment |= options.weighted;
  return needs;
}

bool rounds_onto(const LorcRounding& options, const Storage& storage) {
  const LowRankStorage& product = storage.side.low_rank;
  return product.present() && rounds_onto(method_of(options), without_pair(storage)) &&
         rounds_onto(Rounding(NearestRounding{}), Storage{product.factors, {}});
}

Storage storage_by(const LorcRounding& options, Storage wanted) {
  Storage storage = storage_by(method_of(options), without_pair(wanted));
  storage.side.low_rank = wanted.side.low_rank;
  return storage;
}

/// Beside the codes': W, E and what decodes to them, and the moment.
RoundingCost cost_of(const LorcRounding& options, const RoundingShape& shape) {
  RoundingShape of_codes = shape;
  of_codes.target.storage = without_pair(shape.target.storage);
  RoundingCost cost = cost_of(method_of(options), of_codes);
  const auto rounds = static_cast<double>(options.rounds);
  cost.nearest *= rounds, cost.loop *= rounds, cost.flops *= rounds;
  const int64_t vectors = rank_of(shape.target.storage.side.low_rank, shape.rows, shape.cols) + 16;
  const auto rows = static_cast<double>(shape.rows), cols = static_cast<double>(shape.cols);
  cost.flops += rounds * 52 * static_cast<double>(vectors) * cols * (2 * rows + (options.weighted ? cols : 0));
  cost.nearest += rounds * 3 * rows * cols;
  const int64_t moment = options.weighted ? 4 * shape.cols * shape.cols : 0;
  cost.bytes =
      std::max(cost.bytes, 16 * shape.rows * shape.cols + moment + 4 * vectors * (shape.rows + 2 * shape.cols));
  return cost;
}

Rounded round_by(const LorcRounding& options, const RoundingProblem& problem) {
  return Compensation(options, problem).run();
}

namespace {

constexpr std::string_view kCodes[] = {"gptq", "nearest"};
constexpr Option kOptions[] = {
    choice_option<&LorcRounding::codes>("codes", kCodes, "who chooses the codes, before the product is found"),
    flag_option<&LorcRounding::weighted>("weighted",
                                         "the product is the best for the layer's outputs, not its weights"),
    number_option<&LorcRounding::rounds>("rounds", 1, 100,
                                         "turns: codes of what the product leaves, then the product anew (LoftQ: 5)"),
};

}  // namespace

constinit const RoundingRow kLorcMethod = rounding_row<LorcRounding>(
    "lorc", kOptions, "low-rank compensation of what codes lose (int4-g128+lowrank8-int8-row)",
    "low-rank compensation (LoRC)");

}  // namespace bitloom
