// AdaRound as a method of recipes; and the moments as calibration hands them over, so that the loss needs no more than
// dense matrices.
#include <algorithm>

#include "base/error.h"
#include "round/adaround/adaround.h"
#include "round/nearest/nearest.h"
#include "round/round_matrix.h"

namespace bitloom {
namespace {

constexpr Option kOptions[] = {
    number_option<&AdaRounding::iterations>("iterations", 0, 1e6, "steps of gradient descent per matrix"),
    number_option<&AdaRounding::regularizer>("regularizer", 0, 1000, "weight of the pull to whole codes"),
    number_option<&AdaRounding::ramp>("ramp", 0, 100, "the pull grows as this power of the steps; 0: constant"),
    number_option<&AdaRounding::beta_start>("beta-start", 1, 100, "the pull's exponent at first"),
    number_option<&AdaRounding::beta_end>("beta-end", 1, 100, "the pull's exponent at last"),
    number_option<&AdaRounding::warmup>("warmup", 0, 1, "share of the iterations without the pull"),
    number_option<&AdaRounding::learning_rate>("learning-rate", 1e-8, 1, "of Adam"),
    flag_option<&AdaRounding::descent>("descent", "flip single codes afterwards while that helps"),
};

/// H and C as dense means.
struct DenseMoments {
  int64_t channels = 0;
  std::vector<float> second, cross;
  LayerStatistics layer() const { return {channels, second.data(), cross.empty() ? nullptr : cross.data()}; }
};

DenseMoments dense_moments(const SecondMoment& moment, const CrossMoment* cross, ThreadPool& threads) {
  const int64_t d = moment.channels();
  DenseMoments dense{d, std::vector<float>(static_cast<size_t>(d * d)), {}};
  moment.copy_to(dense.second.data(), threads);
  if (cross != nullptr && cross->tokens() > 0) {
    dense.cross.resize(dense.second.size());
    cross->copy_to(dense.cross.data(), threads);
  }
  return dense;
}

void check_moments(const std::string& name, const SecondMoment& moment, const CrossMoment* cross) {
  if (moment.tokens() == 0) fail(ErrorKind::kFailed, "{}: no token was seen", name);
  if (cross != nullptr && cross->channels() != moment.channels()) {
    fail(ErrorKind::kFailed, "{}: second moment of {} channels, cross moment of {}", name, moment.channels(),
         cross->channels());
  }
}

/// All matrices of an input share its moments.
struct MomentsKey {
  bool operator==(const MomentsKey&) const = default;
};

}  // namespace

std::shared_ptr<const StoredMatrix> quantize_adaround(const std::string& name, const RowSource& w,
                                                      const GridTarget& target, const SecondMoment& moment,
                                                      const CrossMoment* cross, const AdaRounding& options,
                                                      ThreadPool& threads, AdaRoundReport* report) {
  check_moments(name, moment, cross);
  const DenseMoments dense = dense_moments(moment, cross, threads);
  return quantize_adaround(name, w, target, dense.layer(), options, threads, report);
}

Needs needs_of(const AdaRounding&) { return {.second_moment = true, .cross_moment = true}; }

bool rounds_onto(const AdaRounding&, const Storage& storage) { return is_scaled_grid(storage); }

Storage storage_by(const AdaRounding&, Storage wanted) { return wanted; }

RoundingCost cost_of(const AdaRounding& options, const RoundingShape& shape) {
  const auto n = static_cast<double>(shape.rows), d = static_cast<double>(shape.cols);
  return {.nearest = nearest_work(shape),
          .flops = static_cast<double>(options.iterations) * 2 * n * d * d,
          .bytes = shape.threads * std::min(kAdaRoundTileRows, shape.rows) * shape.cols * kAdaRoundTileBytes,
          .shared_bytes = 4 * shape.cols * shape.cols * (shape.gathered.cross_moment ? 2 : 1)};
}

LayerStatistics shared_layer(const RoundingProblem& problem) {
  const SecondMoment& moment = *problem.inputs->moment;
  const CrossMoment* cross = problem.inputs->cross ? &*problem.inputs->cross : nullptr;
  check_moments(problem.place, moment, cross);
  const auto make = [&] { return dense_moments(moment, cross, problem.threads); };
  return problem.shared.get<DenseMoments>(MomentsKey{}, make).layer();
}

Rounded round_by(const AdaRounding& options, const RoundingProblem& problem) {
  AdaRoundReport report;
  auto matrix = quantize_adaround(problem.place, problem.weights, grid_target(problem.target, problem.place),
                                  shared_layer(problem), options, problem.threads, &report);
  RoundReport all = report.rounding;
  all.flipped = report.flipped;
  all.rows_kept = report.rows_kept_nearest;
  return {std::move(matrix), std::move(all)};
}

constinit const RoundingRow kAdaRoundMethod =
    rounding_row<AdaRounding>("adaround", kOptions, "up or down, learned for the smallest output error",
                              "rounded up or down as learned (AdaRound)");

}  // namespace bitloom
