#include "round/vector/aqlm.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <optional>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/memory/dtype.h"
#include "format/families/vector/vector_matrix.h"
#include "round/drift/drift.h"
#include "round/kmeans/kmeans.h"
#include "round/problem.h"
#include "round/vector/continuous_fit.h"
#include "round/vector/residual_kmeans.h"
#include "round/vector/search/code_cells.h"
#include "round/vector/search/code_search.h"
#include "round/weight_report.h"

namespace bitloom {
namespace {

bool is_vector(const Storage& storage) {
  return storage.base.get_if<VectorStorage>() != nullptr && storage.side == SideTerms{};
}

const VectorStorage& storage_of(const RoundingTarget& target) { return target.storage.base.get<VectorStorage>(); }

int64_t groups_of(const VectorStorage& storage, int64_t cols) { return (cols + storage.group - 1) / storage.group; }

/// w [rows, cols] with columns of zeros up to `width`.
std::vector<float> padded(std::vector<float> w, int64_t rows, int64_t cols, int64_t width) {
  if (width == cols) return w;
  std::vector<float> wide(static_cast<size_t>(rows * width));
  for (int64_t r = 0; r < rows; ++r) std::copy_n(w.begin() + r * cols, cols, wide.begin() + r * width);
  return wide;
}

/// Where an entry is used is held in 32 bits.
void check_size(const RoundingProblem& problem) {
  const int64_t rows = problem.weights.rows(), groups = groups_of(storage_of(problem.target), problem.weights.cols());
  if (groups <= std::numeric_limits<uint32_t>::max() / std::max<int64_t>(rows, 1)) return;
  misuse("{}: {} rows of {} groups are too many for {}: at most {} groups in all", problem.place, rows, groups,
         to_string(problem.target.storage), std::numeric_limits<uint32_t>::max());
}

/// How a matrix in additive codes is found.
struct Schedule {
  CodeSearch search;
  int64_t sweeps = 1, iterations = 0;
  uint64_t seed = 0;
};

class Run {
 public:
  Run(const Schedule& schedule, const LayerMoment& moment, const std::vector<float>& w, AdditiveCode start,
      const RoundingProblem& problem)
      : schedule_(schedule),
        moment_(moment),
        w_(w),
        code_(std::move(start)),
        threads_(problem.threads),
        on_progress_(problem.on_progress),
        error_(w.size()),
        residual_(w.size()),
        weights_h_(w.size()) {
    times_moment(moment, code_.rows, w.data(), weights_h_.data(), threads_);
  }

  AdditiveCode run() {
    double loss = total(find_residual(code_, moment_, w_, error_, residual_, threads_));
    for (int64_t sweep = 0; sweep < schedule_.sweeps; ++sweep) {
      const bool last = sweep + 1 == schedule_.sweeps;
      if (last) round_numbers();
      sweep_codes(code_, moment_, random_order(code_, schedule_.seed, sweep), schedule_.search, residual_, threads_);
      if (on_progress_) on_progress_(1.0 / static_cast<double>(schedule_.sweeps));
      if (last) break;
      fit_scales(code_, weights_h_, residual_, threads_);
      loss = fit_codebooks_below(loss);
    }
    return std::move(code_);
  }

 private:
  /// Where the fit would end above `loss`, which both searches and scales have only lowered, codebooks stay. The loss
  /// that is reached; residual_ follows.
  double fit_codebooks_below(double loss) {
    const std::vector<float> before = code_.codebooks;
    fit_codebooks(code_, moment_, schedule_.iterations, error_, residual_, threads_);
    const double fitted = total(find_residual(code_, moment_, w_, error_, residual_, threads_));
    if (fitted <= loss) return fitted;
    code_.codebooks = before;
    return total(find_residual(code_, moment_, w_, error_, residual_, threads_));
  }

  /// To those that will be stored.
  void round_numbers() {
    for (float& value : code_.codebooks) value = finite_f16(value);
    for (float& value : code_.scales) value = finite_f16(value);
    find_residual(code_, moment_, w_, error_, residual_, threads_);
  }

  const Schedule& schedule_;
  const LayerMoment& moment_;
  const std::vector<float>& w_;
  AdditiveCode code_;
  ThreadPool& threads_;
  const std::function<void(double)>& on_progress_;
  std::vector<float> error_, residual_, weights_h_;
};

/// w [rows, width].
Rounded round_weights(const Schedule& schedule, const LayerMoment& moment, const std::vector<float>& w,
                      const RoundingProblem& problem) {
  const VectorStorage& storage = storage_of(problem.target);
  const int64_t rows = problem.weights.rows(), cols = problem.weights.cols();
  AdditiveCode code = start_codes(storage, rows, groups_of(storage, cols), w,
                                  {.seed = schedule.seed, .probes = schedule.search.probes}, problem.threads);
  code = Run(schedule, moment, w, std::move(code), problem).run();
  Rounded rounded;
  rounded.matrix = stored_from_bytes(problem.place, problem.target.storage, rows, cols,
                                     pack_vectors(storage, rows, cols, code.codes, code.codebooks, code.scales));
  measure_weights(problem.weights, *rounded.matrix, rounded.report);
  return rounded;
}

/// The work of all sweeps as flops of dense products: a candidate's multiply-add takes some three of those.
double search_flops(const CodeSearch& search, int64_t sweeps, const RoundingShape& shape) {
  const VectorStorage& s = storage_of(shape.target);
  const auto groups = static_cast<double>(groups_of(s, shape.cols) * s.codebooks);
  const auto entries = static_cast<double>(s.entries());
  const double places = static_cast<double>(shape.rows) * groups;
  double seen = entries * places * static_cast<double>(search.beam);
  if (searches_cells(s, search.probes)) {
    const auto cells = static_cast<double>(cells_of(s.entries()));
    const double looked_at = std::min(cells, static_cast<double>(search.probes + 1)) * entries / cells;
    // Beside these the cells' means, and for each group all vectors' cells.
    seen = (looked_at + cells) * places * static_cast<double>(search.beam) + entries * cells * groups;
  }
  return 6 * static_cast<double>(sweeps) * seen * static_cast<double>(s.group);
}

int64_t run_bytes(const CodeSearch& search, const RoundingShape& shape) {
  const VectorStorage& s = storage_of(shape.target);
  const int64_t weights = shape.rows * groups_of(s, shape.cols) * s.group;
  const int64_t blocks = groups_of_block(s) * s.codebooks * (s.group + 1) + 2 * s.codebooks * s.group * s.group;
  // Codebooks as they were, and five vectors of doubles of the conjugate gradients and one of floats.
  const int64_t fit = (4 + 5 * 8 + 4) * s.codebooks * s.entries() * s.group;
  const int64_t cells = searches_cells(s, search.probes) ? cell_bytes(s.entries(), s.group) : 0;
  return 20 * weights + 6 * weights / s.group * s.codebooks + 4 * blocks * s.entries() +
         groups_of_block(s) * s.codebooks * cells + shape.threads * search_bytes(s, search) + fit;
}

}  // namespace

Needs needs_of(const AdditiveRounding&) { return {}; }
bool rounds_onto(const AdditiveRounding&, const Storage& storage) { return is_vector(storage); }
Storage storage_by(const AdditiveRounding&, Storage wanted) { return wanted; }

RoundingCost cost_of(const AdditiveRounding& options, const RoundingShape& shape) {
  // Rates of products are not measured where no data are: weights rounded to nearest, of some 30 flops each.
  return {.nearest = search_flops({options.beam, options.cells}, options.sweeps + 2, shape) / 30,
          .bytes = run_bytes({options.beam, options.cells}, shape)};
}

Rounded round_by(const AdditiveRounding& options, const RoundingProblem& problem) {
  check_size(problem);
  const VectorStorage& storage = storage_of(problem.target);
  const int64_t rows = problem.weights.rows(), cols = problem.weights.cols();
  const int64_t width = groups_of(storage, cols) * storage.group;
  const std::vector<float> w =
      padded(load_for_codebook(problem.place, problem.weights, problem.threads), rows, cols, width);
  const LayerMoment moment{width, {}};
  const Schedule schedule{{options.beam, options.cells}, options.sweeps, 3, static_cast<uint64_t>(options.seed)};
  return round_weights(schedule, moment, w, problem);
}

namespace {

constexpr int64_t kMostBeam = 64, kMostSweeps = 256, kMostCells = 256;
constexpr const char* kCellsHelp = "of a codebook of 4096 vectors or more, that a search looks at; 0: all vectors";
constexpr double kMostSeed = 0x7fffffff;

constexpr Option kAdditiveOptions[] = {
    number_option<&AdditiveRounding::beam>("beam", 1, kMostBeam, "hypotheses of a row that go on"),
    number_option<&AdditiveRounding::cells>("cells", 0, kMostCells, kCellsHelp),
    number_option<&AdditiveRounding::sweeps>("sweeps", 1, kMostSweeps, "searches of all codes"),
    number_option<&AdditiveRounding::seed>("seed", 0, kMostSeed, "of the orders in which codes are searched"),
};

}  // namespace

constinit const RoundingRow kAdditiveMethod =
    rounding_row<AdditiveRounding>("additive", kAdditiveOptions, "sums of vectors by plain squared error",
                                   "rounded to sums of vectors by beam search");

Needs needs_of(const AqlmRounding& options) {
  return {.second_moment = !options.guided || options.drift != 0,
          .cross_moment = options.drift != 0,
          .halves = options.drift != 0,
          .guided_moment = options.guided};
}
bool rounds_onto(const AqlmRounding&, const Storage& storage) { return is_vector(storage); }
Storage storage_by(const AqlmRounding&, Storage wanted) { return wanted; }

RoundingCost cost_of(const AqlmRounding& options, const RoundingShape& shape) {
  const auto n = static_cast<double>(shape.rows), d = static_cast<double>(shape.cols);
  // A sweep's changes, each product of conjugate gradients, and R from nothing.
  const auto products = static_cast<double>(options.sweeps * (options.iterations + 2) + 1);
  RoundingCost cost{
      .flops = search_flops({options.beam, options.cells}, options.sweeps + 2, shape) + 2 * products * n * d * d,
      .bytes = run_bytes({options.beam, options.cells}, shape),
      .shared_bytes = 8 * shape.cols * shape.cols};
  if (options.drift != 0 && shape.gathered.cross_moment) add_drift_cost(shape, cost);
  return cost;
}

namespace {

/// What is made of an input, or, but for the drift, of a matrix with moments of its own.
struct InputFacts {
  LayerMoment moment;
  std::vector<uint8_t> dead;  // [cols]: columns that nothing is ever read from
  Drift drift;                // nothing where the inputs have no error of their own
};
struct FactsKey {
  double damping = 0;
  bool drifts = false;
  int64_t width = 0;
  bool operator==(const FactsKey&) const = default;
};

InputFacts facts_of(const AqlmRounding& options, const RoundingProblem& problem, int64_t width) {
  const SecondMoment& moment = options.guided ? problem.guided->in() : *problem.inputs->moment;
  const int64_t n = moment.channels();
  if (moment.tokens() == 0) {
    fail(ErrorKind::kFailed, "{}: aqlm needs calibration tokens, and none were seen", problem.place);
  }
  InputFacts facts{{width, std::vector<float>(static_cast<size_t>(width * width))}, {}, {}};
  std::vector<float> h(static_cast<size_t>(n * n));
  moment.copy_to(h.data(), problem.threads);
  double trace = 0;
  for (int64_t c = 0; c < n; ++c) {
    trace += static_cast<double>(h[static_cast<size_t>(c * n + c)]);
    facts.dead.push_back(h[static_cast<size_t>(c * n + c)] > 0 ? 0 : 1);
  }
  const auto lambda = static_cast<float>(options.damping * trace / static_cast<double>(n));
  for (int64_t c = 0; c < n; ++c) {
    std::copy_n(h.begin() + c * n, n, facts.moment.h.begin() + c * width);
    facts.moment.h[static_cast<size_t>(c * width + c)] += lambda;
  }
  if (!options.guided && options.drift != 0 && problem.inputs->cross) {
    facts.drift = make_drift(*problem.inputs, options.damping, problem.threads);
  }
  return facts;
}

constexpr Option kAqlmOptions[] = {
    number_option<&AqlmRounding::beam>("beam", 1, kMostBeam, "hypotheses of a row that go on"),
    number_option<&AqlmRounding::cells>("cells", 0, kMostCells, kCellsHelp),
    number_option<&AqlmRounding::sweeps>("sweeps", 1, kMostSweeps, "searches of all codes"),
    number_option<&AqlmRounding::iterations>("iterations", 0, 100,
                                             "of conjugate gradients for the codebooks, each time"),
    number_option<&AqlmRounding::damping>("damping", 0, 0.99, "added to the diagonal, as a share of its mean", "damp"),
    flag_option<&AqlmRounding::guided>("guided", "tokens weighted by the squares of their outputs' gradients"),
    number_option<&AqlmRounding::drift>("drift", 0, 1, "share of the inputs' own error that the target makes up for"),
    number_option<&AqlmRounding::seed>("seed", 0, kMostSeed, "of the orders in which codes are searched"),
};

}  // namespace

Rounded round_by(const AqlmRounding& options, const RoundingProblem& problem) {
  check_size(problem);
  const VectorStorage& storage = storage_of(problem.target);
  const int64_t rows = problem.weights.rows(), cols = problem.weights.cols();
  const int64_t width = groups_of(storage, cols) * storage.group;
  const auto make = [&] { return facts_of(options, problem, width); };
  std::optional<InputFacts> own;
  if (options.guided) own = make();
  const FactsKey key{options.damping, options.drift != 0, width};
  const InputFacts& facts = own ? *own : problem.shared.get<InputFacts>(key, make);
  const bool drifts_alone = own && options.drift != 0;
  const Drift& drift = drifts_alone ? shared_drift(problem, options.damping) : facts.drift;
  std::vector<float> w = load_for_codebook(problem.place, problem.weights, problem.threads);
  std::optional<double> held;
  if (!drift.empty()) held = correct_for_drift(drift, options.drift, cols, w, problem.threads);
  for (size_t i = 0; i < w.size(); ++i) {
    if (facts.dead[i % static_cast<size_t>(cols)] != 0) w[i] = 0;
  }
  const Schedule schedule{
      {options.beam, options.cells}, options.sweeps, options.iterations, static_cast<uint64_t>(options.seed)};
  Rounded rounded = round_weights(schedule, facts.moment, padded(std::move(w), rows, cols, width), problem);
  rounded.report.damping = options.damping;
  rounded.report.held_drift = held;
  return rounded;
}

constinit const RoundingRow kAqlmMethod =
    rounding_row<AqlmRounding>("aqlm", kAqlmOptions, "sums of vectors by the error of the outputs (AQLM)",
                               "rounded to sums of vectors by beam search on the outputs' error (AQLM)");

}  // namespace bitloom
