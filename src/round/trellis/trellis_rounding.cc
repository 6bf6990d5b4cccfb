#include "round/trellis/trellis_rounding.h"

#include <algorithm>
#include <cmath>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/memory/dense_matrix.h"
#include "base/memory/plain_bytes.h"
#include "linalg/cholesky.h"
#include "round/damping.h"
#include "round/drift/drift.h"
#include "round/predicted_kl/predicted_kl.h"
#include "round/problem.h"
#include "round/trellis/block_ldl.h"
#include "round/trellis/tile_code.h"
#include "round/trellis/tile_loop.h"
#include "round/weight_report.h"

namespace bitloom {
namespace {

/// What a row of tiles adds to the report.
struct TileRowReport {
  double error = 0, norm = 0;  // sum (w - q)^2, sum w^2
  float max_error = 0, largest_weight = 0, largest_target = 0;
};

/// One run over a matrix.
class Run {
 public:
  /// `factor` null: no feedback; `out_factor` null: none down the columns.
  Run(const RoundingProblem& problem, const BlockLdl* factor, const BlockLdl* out_factor, double share)
      : problem_(problem),
        factor_(factor),
        out_factor_(out_factor),
        code_(make_tile_code(problem.target.storage, problem.weights.rows(), problem.weights.cols(),
                             problem.threads.thread_count())),
        shape_(tile_shape(problem.target.storage, problem.weights.rows(), problem.weights.cols())),
        side_(shape_.side),
        mine_(out_factor == nullptr ? share_of(problem.ranks, shape_.down) : RankShare{0, shape_.down}),
        words_(static_cast<size_t>(shape_.down * row_words())),
        reports_(static_cast<size_t>(shape_.down)) {
    load();
    scale_ = static_cast<float>(rms_ / (share * code_->units()));
  }

  Rounded run() {
    const auto l_of = [](const BlockLdl* factor) { return factor == nullptr ? nullptr : factor->l.data(); };
    const TileFeedback feedback{side_, l_of(factor_), l_of(out_factor_)};
    // A tile keeps its weights until its turn.
    tile_loop(
        feedback, mine_weights(), (mine_.end - mine_.begin) * side_, padded_cols(),
        [&](int64_t o, int64_t i, const float* target, float* decoded, int thread) {
          round_tile(mine_.begin + o, i, target, decoded, thread);
        },
        problem_.threads);
    if (problem_.ranks.size() > 1 && out_factor_ == nullptr) share_out();
    Rounded rounded;
    rounded.matrix =
        stored_from_bytes(problem_.place, problem_.target.storage, rows(), cols(), code_->pack(words_, scale_));
    rounded.report = report();
    return rounded;
  }

 private:
  int64_t rows() const { return problem_.weights.rows(); }
  int64_t cols() const { return problem_.weights.cols(); }
  int64_t padded_cols() const { return shape_.across * side_; }
  int64_t row_words() const { return shape_.across * shape_.words; }
  float* mine_weights() { return weights_.data() + mine_.begin * side_ * padded_cols(); }
  bool is_dead(int64_t c) const { return factor_ != nullptr && factor_->dead[static_cast<size_t>(c)] != 0; }

  /// weights_ and rms_. Dead columns count as zeros.
  void load() {
    weights_.resize(static_cast<size_t>(shape_.down * side_ * padded_cols()));
    std::vector<double> sums(static_cast<size_t>(rows()));
    problem_.threads.parallel_for(rows(), [&](int64_t r) {
      float* row = weights_.data() + r * padded_cols();
      problem_.weights.decode_rows(r, r + 1, row);
      for (int64_t c = 0; c < cols(); ++c) {
        if (!std::isfinite(row[c])) refuse("{}: weight [{}, {}] is {}", problem_.place, r, c, row[c]);
        if (is_dead(c)) row[c] = 0;
        sums[static_cast<size_t>(r)] += static_cast<double>(row[c]) * static_cast<double>(row[c]);
      }
    });
    double sum = 0;
    for (const double row : sums) sum += row;
    rms_ = std::sqrt(sum / std::max(1.0, static_cast<double>(rows()) * static_cast<double>(cols())));
  }

  void round_tile(int64_t o, int64_t i, const float* target, float* decoded, int thread) {
    if (i * side_ >= cols()) {  // padding; its words stay 0
      std::fill_n(decoded, side_ * side_, 0.0f);
      return;
    }
    code_->encode(thread, target, scale_, words_.data() + o * row_words() + i * shape_.words, decoded);
    TileRowReport& report = reports_[static_cast<size_t>(o)];
    for (int64_t a = 0; a < std::min(side_, rows() - o * side_); ++a) {
      for (int64_t b = 0; b < std::min(side_, cols() - i * side_); ++b) {
        const float w = weights_[static_cast<size_t>((o * side_ + a) * padded_cols() + i * side_ + b)];
        const float difference = w - decoded[a * side_ + b];
        report.error += static_cast<double>(difference) * static_cast<double>(difference);
        report.norm += static_cast<double>(w) * static_cast<double>(w);
        report.max_error = std::max(report.max_error, std::abs(difference));
        report.largest_weight = std::max(report.largest_weight, std::abs(w));
        report.largest_target = std::max(report.largest_target, std::abs(target[a * side_ + b]));
      }
    }
  }

  /// Every rank gets the rows of all.
  void share_out() {
    Bytes message;
    append(message, std::vector<TileRowReport>(reports_.begin() + mine_.begin, reports_.begin() + mine_.end));
    append(message,
           std::vector<uint16_t>(words_.begin() + mine_.begin * row_words(), words_.begin() + mine_.end * row_words()));
    reports_.clear(), words_.clear();
    for (const Bytes& bytes : problem_.ranks.gather(message)) {
      BytesReader reader(bytes);
      const std::vector<TileRowReport> reports = reader.take<TileRowReport>();
      const std::vector<uint16_t> words = reader.take<uint16_t>();
      reports_.insert(reports_.end(), reports.begin(), reports.end());
      words_.insert(words_.end(), words.begin(), words.end());
    }
    if (static_cast<int64_t>(words_.size()) != shape_.down * row_words()) {
      fail(ErrorKind::kFailed, "{}: the ranks gave {} words of {}", problem_.place, words_.size(),
           shape_.down * row_words());
    }
  }

  RoundReport report() const {
    TileRowReport all;
    for (const TileRowReport& row : reports_) {
      all.error += row.error, all.norm += row.norm;
      all.max_error = std::max(all.max_error, row.max_error);
      all.largest_weight = std::max(all.largest_weight, row.largest_weight);
      all.largest_target = std::max(all.largest_target, row.largest_target);
    }
    RoundReport report;
    report.weight_error = all.norm > 0 ? all.error / all.norm : 0;
    report.max_abs_error = static_cast<double>(all.max_error);
    if (factor_ == nullptr) return report;
    report.compensation_ratio =
        all.largest_weight > 0 ? static_cast<double>(all.largest_target / all.largest_weight) : 0.0;
    return report;
  }

  const RoundingProblem& problem_;
  const BlockLdl *factor_, *out_factor_;
  std::unique_ptr<TileCode> code_;
  TileShape shape_;
  int64_t side_;    // of a tile
  RankShare mine_;  // rows of tiles
  double rms_ = 0;
  float scale_ = 0;
  std::vector<float> weights_;   // [down * side, across * side]
  std::vector<uint16_t> words_;  // [down, across, words]
  std::vector<TileRowReport> reports_;
};

/// What is made of an input for all that read it depends on these.
struct FactorKey {
  double damping = 0;
  bool drifts = false;
  int64_t side = 0;  // of tiles
  bool operator==(const FactorKey&) const = default;
};

RoundingCost search_cost(const RoundingShape& shape) {
  const Storage& storage = shape.target.storage;
  return {.nearest = tile_search_work(storage, shape.rows, shape.cols) / static_cast<double>(shape.ranks),
          .bytes = 8 * shape.rows * shape.cols + shape.threads * tile_search_bytes(storage)};
}

}  // namespace

Needs needs_of(const ViterbiRounding&) { return {}; }
bool rounds_onto(const ViterbiRounding&, const Storage& storage) { return is_trellis_storage(storage); }
Storage storage_by(const ViterbiRounding&, Storage wanted) { return wanted; }

RoundingCost cost_of(const ViterbiRounding&, const RoundingShape& shape) { return search_cost(shape); }

Rounded round_by(const ViterbiRounding&, const RoundingProblem& problem) {
  return Run(problem, nullptr, nullptr, 1).run();
}

constinit const RoundingRow kViterbiMethod = rounding_row<ViterbiRounding>(
    "viterbi", {}, "tiles of a trellis code, each the nearest of all paths", "rounded to the nearest path (Viterbi)");

namespace {

constexpr Option kLdlqOptions[] = {
    number_option<&LdlqRounding::damping>("damping", 0, 0.99, "added to the diagonal, as a share of its mean", "damp"),
    number_option<&LdlqRounding::share>("share", 0.1, 2, "of the weights' size that the code is made for"),
    flag_option<&LdlqRounding::guided>("guided", "tokens weighted by the squares of their outputs' gradients"),
    flag_option<&LdlqRounding::two_sided>("two-sided", "the same, and feedback by the outputs' gradients too"),
    number_option<&LdlqRounding::output_damping>("output-damping", 0, 0.99,
                                                 "two-sided: damping of the outputs' moment"),
    number_option<&LdlqRounding::drift>("drift", 0, 1, "share of the inputs' own error that the target makes up for"),
};

}  // namespace

Needs needs_of(const LdlqRounding& options) {
  const bool guided = options.guided || options.two_sided;
  return {.second_moment = !guided || options.drift != 0,
          .cross_moment = options.drift != 0,
          .halves = options.drift != 0,
          .guided_moment = guided,
          .output_moment = options.two_sided};
}
bool rounds_onto(const LdlqRounding&, const Storage& storage) { return is_tile_storage(storage); }
Storage storage_by(const LdlqRounding&, Storage wanted) { return wanted; }

RoundingCost cost_of(const LdlqRounding& options, const RoundingShape& shape) {
  const auto n = static_cast<double>(shape.rows), d = static_cast<double>(shape.cols);
  RoundingCost cost = search_cost(shape);
  cost.flops = n * d * d / static_cast<double>(shape.ranks);
  cost.shared_factor = 2.0 / 3.0 * d * d * d;
  cost.bytes += 8 * shape.rows * kSpanTiles * tile_shape(shape.target.storage, shape.rows, shape.cols).side;
  cost.shared_bytes = 8 * shape.cols * shape.cols;
  if (options.drift != 0 && shape.gathered.cross_moment) add_drift_cost(shape, cost);
  if (!options.two_sided) return cost;
  cost.nearest *= static_cast<double>(shape.ranks);
  cost.flops = cost.flops * static_cast<double>(shape.ranks) + n * n * d;
  cost.shared_factor += 2.0 / 3.0 * n * n * n;
  cost.bytes += 8 * shape.rows * shape.rows;
  return cost;
}

namespace {

BlockLdl factor_of(const RoundingProblem& problem, const SecondMoment& moment, int64_t side, int64_t tiles,
                   double damping) {
  try {
    return make_block_ldl(moment, tiles * side, side, damping, problem.threads);
  } catch (const Error& error) {
    fail(error.kind(), "{}: {}", problem.place, error.what());
  }
}

/// What is made of an input.
struct Factors {
  BlockLdl in;
  Drift drift;  // empty: none
};

Factors make_factors(const LdlqRounding& options, const RoundingProblem& problem, const TileShape& shape) {
  const InputStatistics& inputs = *problem.inputs;
  Factors factors{factor_of(problem, *inputs.moment, shape.side, shape.across, options.damping), {}};
  if (options.drift == 0 || !inputs.cross) return factors;
  factors.drift = make_drift(inputs, options.damping, problem.threads);
  return factors;
}

/// Round with the factors of both sides (`out` null: none); `drift` empty: none.
Rounded round_with(const LdlqRounding& options, const RoundingProblem& problem, const BlockLdl& in, const BlockLdl* out,
                   const Drift& drift) {
  const auto run = [&](const RoundingProblem& target) {
    Rounded rounded = Run(target, &in, out, options.share).run();
    record_damping(options.damping, in.damping, rounded.report);
    return rounded;
  };
  if (drift.empty()) return run(problem);
  std::vector<float> w = problem.weights.decode_all();
  const double held = correct_for_drift(drift, options.drift, problem.weights.cols(), w, problem.threads);
  const DenseMatrix corrected(problem.weights.rows(), problem.weights.cols(), std::move(w));
  Rounded rounded = run({problem.place, corrected, problem.target, problem.inputs, problem.shared, problem.ranks,
                         problem.threads, problem.guided});
  rounded.report.held_drift = held;
  measure_weights(problem.weights, *rounded.matrix, rounded.report);
  return rounded;
}

}  // namespace

Rounded round_by(const LdlqRounding& options, const RoundingProblem& problem) {
  const TileShape shape = tile_shape(problem.target.storage, problem.weights.rows(), problem.weights.cols());
  if (!needs_gradients(needs_of(options))) {
    const Factors& of_input = problem.shared.get<Factors>(FactorKey{options.damping, options.drift != 0, shape.side},
                                                          [&] { return make_factors(options, problem, shape); });
    return round_with(options, problem, of_input.in, nullptr, of_input.drift);
  }
  // Factors are the matrix's own: what is shared is the drift alone.
  const BlockLdl in = factor_of(problem, problem.guided->in(), shape.side, shape.across, options.damping);
  std::optional<BlockLdl> out;
  if (options.two_sided)
    out = factor_of(problem, problem.guided->out(), shape.side, shape.down, options.output_damping);
  const Drift none;
  const Drift& drift = options.drift == 0 ? none : shared_drift(problem, options.damping);
  return round_with(options, problem, in, out ? &*out : nullptr, drift);
}

namespace {

/// What feedback through the factor leaves of errors that cost as `errors` says.
double factor_share(const BlockLdl& factor, const SecondMoment& errors, ThreadPool& threads) {
  const int64_t n = errors.channels();
  std::vector<float> spread(static_cast<size_t>(n * n));  // L^-T
  for (int64_t i = 0; i < n; ++i) {
    for (int64_t j = 0; j <= i; ++j)
      spread[static_cast<size_t>(j * n + i)] = factor.l[static_cast<size_t>(i * factor.n + j)];
  }
  invert_upper(spread.data(), n, threads);
  return share_of_trace(spread, errors, threads);
}

}  // namespace

double feedback_share_by(const LdlqRounding& options, const RoundingProblem& problem, const GuidedMoments& errors) {
  const TileShape shape = tile_shape(problem.target.storage, problem.weights.rows(), problem.weights.cols());
  const bool guided = needs_gradients(needs_of(options));
  const SecondMoment& in = guided ? problem.guided->in() : *problem.inputs->moment;
  double share =
      factor_share(factor_of(problem, in, shape.side, shape.across, options.damping), errors.in(), problem.threads);
  if (options.two_sided) {
    const SecondMoment& out = problem.guided->out();
    share *= factor_share(factor_of(problem, out, shape.side, shape.down, options.output_damping), errors.out(),
                          problem.threads);
  }
  return share / (options.share * options.share);
}

constinit const RoundingRow kLdlqMethod = rounding_row<LdlqRounding>(
    "ldlq", kLdlqOptions, "tiles of a trellis code or lattice, each one's error fed into the next",
    "rounded to the nearest codes with error feedback between tiles (LDLQ)");

}  // namespace bitloom
