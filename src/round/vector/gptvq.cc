#include "round/vector/gptvq.h"

#include <algorithm>
#include <optional>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/memory/dense_matrix.h"
#include "format/families/vector/block_vectors.h"
#include "round/drift/drift.h"
#include "round/gptq/gptq.h"
#include "round/kmeans/kmeans.h"
#include "round/problem.h"
#include "round/vector/block_columns.h"
#include "round/weight_report.h"

namespace bitloom {
namespace {

constexpr int64_t kMostTurns = 1000;

bool is_block_vectors(const Storage& storage) {
  return storage.base.get_if<BlockVectorStorage>() != nullptr && storage.side == SideTerms{};
}

const BlockVectorStorage& storage_of(const RoundingTarget& target) {
  return target.storage.base.get<BlockVectorStorage>();
}

/// Flops of k-means: a candidate's multiply-add takes some three of those of dense products.
double kmeans_flops(int64_t turns, const RoundingShape& shape) {
  const BlockVectorStorage& s = storage_of(shape.target);
  const double vectors = static_cast<double>(shape.rows) * static_cast<double>((shape.cols + s.group - 1) / s.group);
  return 6 * static_cast<double>(turns + 1) * vectors * static_cast<double>(s.entries() * (s.group + 1));
}

/// Of a tile: codes, vectors of a run of columns and what k-means keeps of each and sums for each entry, codebooks in
/// fp32 and their bytes.
int64_t tile_bytes(const RoundingShape& shape) {
  const BlockVectorStorage& s = storage_of(shape.target);
  const int64_t rows = std::min(kGptqTileRows, shape.rows);
  const VectorBlocks blocks(s, rows, shape.cols);
  const int64_t run = rows * (blocks.width / s.group + 1);
  const int64_t kmeans = 18 * run + 8 * s.entries() * s.group * (s.group + 1);
  const int64_t scales =
      s.scaled == 0 ? 0 : 4 * (rows * (shape.cols / s.group + 1) + run) + 12 * rows * (shape.cols / s.scaled + 1);
  return scales + 2 * rows * (shape.cols / s.group + 1) + 4 * run * s.group + kmeans +
         5 * blocks.count() * s.entries() * s.group;
}

/// Of the fit after the loop: W, errors and products in fp32; six vectors in fp64, one of them of blocks.
int64_t fit_bytes(const RoundingShape& shape) {
  const BlockVectorStorage& s = storage_of(shape.target);
  const int64_t rows = std::min(kGptqTileRows, shape.rows);
  const VectorBlocks blocks(s, rows, shape.cols);
  return 12 * rows * shape.cols + 8 * (5 + s.group) * blocks.count() * s.entries() * s.group;
}

}  // namespace

Needs needs_of(const VectorKMeansRounding&) { return {}; }
bool rounds_onto(const VectorKMeansRounding&, const Storage& storage) { return is_block_vectors(storage); }
Storage storage_by(const VectorKMeansRounding&, Storage wanted) { return wanted; }

RoundingCost cost_of(const VectorKMeansRounding& options, const RoundingShape& shape) {
  const int64_t tile = std::min(kGptqTileRows, shape.rows) * shape.cols;
  // Rates of products are not measured where no data are: weights rounded to nearest, of some 30 flops each.
  return {.nearest = kmeans_flops(options.turns, shape) / 30,
          .bytes = 4 * shape.rows * shape.cols + shape.threads * (4 * tile + tile_bytes(shape))};
}

Rounded round_by(const VectorKMeansRounding& options, const RoundingProblem& problem) {
  const int64_t rows = problem.weights.rows(), cols = problem.weights.cols();
  const BlockVectorStorage& storage = storage_of(problem.target);
  const int64_t group = storage.group, groups = (cols + group - 1) / group;
  const DenseMatrix w(rows, cols, load_for_codebook(problem.place, problem.weights, problem.threads));
  std::vector<float> metrics(static_cast<size_t>(groups * group * group));
  for (int64_t c = 0; c < cols; ++c)
    metrics[static_cast<size_t>((c / group * group + c % group) * group + c % group)] = 1;
  const auto policies =
      make_block_policies({problem.target.storage, w, metrics, nullptr, options.turns, 0, problem.threads});
  const int64_t width = VectorBlocks(storage, rows, cols).width;
  problem.threads.parallel_for((rows + kGptqTileRows - 1) / kGptqTileRows, [&](int64_t tile) {
    const RowRange range{tile * kGptqTileRows, std::min(rows, (tile + 1) * kGptqTileRows)};
    const int64_t count = range.count();
    std::vector<float> columns(static_cast<size_t>(cols * count));
    for (int64_t r = 0; r < count; ++r) {
      const float* row = w.values().data() + (range.begin + r) * cols;
      for (int64_t c = 0; c < cols; ++c) columns[static_cast<size_t>(c * count + r)] = row[c];
    }
    const std::unique_ptr<StoringPolicy> policy = policies->policy(range);
    for (int64_t begin = 0; begin < cols; begin += group) {
      const float* column = columns.data() + begin * count;
      if (begin % width == 0) policy->begin_group(begin, std::min(cols, begin + width), column);
      policy->begin_vector(begin, std::min(cols, begin + group), column);
    }
    policies->store(range, policy->chosen());
  });
  Rounded rounded;
  rounded.matrix = policies->finish(problem.place);
  measure_weights(problem.weights, *rounded.matrix, rounded.report);
  return rounded;
}

namespace {

constexpr Option kVectorKMeansOptions[] = {
    number_option<&VectorKMeansRounding::turns>("turns", 1, kMostTurns, "of k-means, at most"),
};

}  // namespace

constinit const RoundingRow kVectorKMeansMethod = rounding_row<VectorKMeansRounding>(
    "vector-kmeans", kVectorKMeansOptions, "vectors of blocks' codebooks by k-means", "rounded to vectors by k-means");

Needs needs_of(const GptvqRounding& options) {
  return {.second_moment = !options.guided || options.drift != 0,
          .cross_moment = options.drift != 0,
          .halves = options.drift != 0,
          .guided_moment = options.guided};
}
bool rounds_onto(const GptvqRounding&, const Storage& storage) { return is_block_vectors(storage); }
Storage storage_by(const GptvqRounding&, Storage wanted) { return wanted; }

RoundingCost cost_of(const GptvqRounding& options, const RoundingShape& shape) {
  const auto n = static_cast<double>(shape.rows), d = static_cast<double>(shape.cols);
  const BlockVectorStorage& storage = storage_of(shape.target);
  RoundingCost cost = feedback_cost(shape, {.separable = true, .nearest = 0}, false);
  const double products = options.iterations == 0 ? 0 : 2 * static_cast<double>(options.iterations + 3) * n * d * d;
  cost.flops = (kmeans_flops(options.turns, shape) + products) / static_cast<double>(shape.ranks);
  const int64_t fit = options.iterations == 0 ? 0 : fit_bytes(shape);
  cost.bytes += 4 * shape.rows * shape.cols + shape.threads * (tile_bytes(shape) + fit);
  cost.shared_bytes += 4 * shape.cols * (shape.cols + storage.group);
  if (options.drift != 0 && shape.gathered.cross_moment) add_drift_cost(shape, cost);
  return cost;
}

namespace {

/// What is made of an input, or, but for the drift, of a matrix with moments of its own.
struct GptvqFacts {
  GptqFactor factor;
  std::vector<float> metrics;
  LayerMoment moment;  // H_d, with columns of zeros up to whole vectors
  Drift drift;         // nothing where the inputs have no error of their own
};
struct GptvqKey {
  double damping = 0;
  bool drifts = false;
  int64_t group = 1;
  bool operator==(const GptvqKey&) const = default;
};

/// Columns that nothing reads have no say in which codes are near, but for the nearest to 0 where all else is alike: on
/// the factor's diagonal they stand as 1, whatever the others' size.
void spare_dead_columns(const std::vector<float>& diagonal, int64_t group, std::vector<float>& metrics) {
  constexpr double kShare = 1e-6;  // of the mean live column's
  const auto columns = static_cast<int64_t>(diagonal.size());
  const auto is_dead = [&](int64_t c) { return diagonal[static_cast<size_t>(c)] == 0; };
  const auto metric = [&](int64_t c, int64_t a, int64_t b) -> float& {
    return metrics[static_cast<size_t>((c / group * group + a) * group + b)];
  };
  double sum = 0, live = 0;
  for (int64_t c = 0; c < columns; ++c) {
    if (!is_dead(c)) sum += static_cast<double>(metric(c, c % group, c % group)), live += 1;
  }
  for (int64_t c = 0; c < columns; ++c) {
    if (!is_dead(c)) continue;
    for (int64_t t = 0; t < group; ++t) metric(c, c % group, t) = metric(c, t, c % group) = 0;
    metric(c, c % group, c % group) = static_cast<float>(live > 0 ? kShare * sum / live : 1.0);
  }
}

GptvqFacts facts_of(const GptvqRounding& options, const RoundingProblem& problem, int64_t group) {
  const SecondMoment& moment = options.guided ? problem.guided->in() : *problem.inputs->moment;
  const int64_t n = moment.channels();
  GptvqFacts facts;
  try {
    const GptqRounding feedback{.damping = options.damping, .order = ColumnOrder::kNatural};
    facts.factor = make_gptq_factor(moment, nullptr, feedback, 0, problem.threads);
  } catch (const Error& error) {
    fail(error.kind(), "{}: {}", problem.place, error.what());
  }
  facts.metrics = column_metrics(facts.factor.u.data(), n, group);
  spare_dead_columns(facts.factor.diagonal, group, facts.metrics);
  facts.moment.width = (n + group - 1) / group * group;
  facts.moment.h.resize(static_cast<size_t>(facts.moment.width * facts.moment.width));
  std::vector<float> h(static_cast<size_t>(n * n));
  moment.copy_to(h.data(), problem.threads);
  for (int64_t c = 0; c < n; ++c) {
    float* row = facts.moment.h.data() + c * facts.moment.width;
    std::copy_n(h.begin() + c * n, n, row);
    row[c] += static_cast<float>(facts.factor.lambda());
  }
  if (!options.guided && options.drift != 0 && problem.inputs->cross) {
    facts.drift = make_drift(*problem.inputs, options.damping, problem.threads);
  }
  return facts;
}

constexpr Option kGptvqOptions[] = {
    number_option<&GptvqRounding::damping>("damping", 0, 0.99, "added to the diagonal, as a share of its mean", "damp"),
    number_option<&GptvqRounding::turns>("turns", 1, kMostTurns, "of k-means, at most"),
    number_option<&GptvqRounding::iterations>("iterations", 0, 100,
                                              "of conjugate gradients for the codebooks, afterwards"),
    flag_option<&GptvqRounding::guided>("guided", "tokens weighted by the squares of their outputs' gradients"),
    number_option<&GptvqRounding::drift>("drift", 0, 1, "share of the inputs' own error that the target makes up for"),
};

}  // namespace

Rounded round_by(const GptvqRounding& options, const RoundingProblem& problem) {
  const BlockVectorStorage& storage = storage_of(problem.target);
  const int64_t rows = problem.weights.rows(), cols = problem.weights.cols();
  const auto make = [&] { return facts_of(options, problem, storage.group); };
  std::optional<GptvqFacts> own;
  if (options.guided) own = make();
  const GptvqKey key{options.damping, options.drift != 0, storage.group};
  const GptvqFacts& facts = own ? *own : problem.shared.get<GptvqFacts>(key, make);
  if (cols != facts.factor.channels) {
    fail(ErrorKind::kFailed, "{}: {} columns, but the statistics have {} channels", problem.place, cols,
         facts.factor.channels);
  }
  const bool drifts_alone = own && options.drift != 0;
  const Drift& drift = drifts_alone ? shared_drift(problem, options.damping) : facts.drift;
  DenseMatrix w(rows, cols, load_for_codebook(problem.place, problem.weights, problem.threads));
  std::optional<double> held;
  if (!drift.empty()) held = correct_for_drift(drift, options.drift, cols, w.values(), problem.threads);
  for (size_t i = 0; i < w.values().size(); ++i) {
    if (facts.factor.diagonal[i % static_cast<size_t>(cols)] == 0) w.values()[i] = 0;
  }
  const auto policies = make_block_policies(
      {problem.target.storage, w, facts.metrics, &facts.moment, options.turns, options.iterations, problem.threads});
  GptqReport report;
  Rounded rounded;
  rounded.matrix = quantize_columns(problem.place, w, *policies, facts.factor, problem.ranks, problem.threads, &report);
  rounded.report = feedback_report(report, facts.factor, options.damping);
  rounded.report.held_drift = held;
  measure_weights(problem.weights, *rounded.matrix, rounded.report);
  return rounded;
}

constinit const RoundingRow kGptvqMethod =
    rounding_row<GptvqRounding>("gptvq", kGptvqOptions, "vectors of columns with error feedback (GPTVQ)",
                                "rounded to vectors with error feedback (GPTVQ)");

}  // namespace bitloom
