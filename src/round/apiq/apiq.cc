#include "round/apiq/apiq.h"

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/memory/dense_matrix.h"
#include "base/rng.h"
#include "linalg/gemm.h"
#include "round/apiq/clip.h"
#include "round/damping.h"
#include "round/drift/drift.h"
#include "round/gptq/gptq.h"
#include "round/lorc/low_rank_pair.h"
#include "round/nearest/nearest.h"
#include "round/scale/whole_matrix.h"

namespace bitloom {
namespace {

constexpr uint64_t kFirstFactors = 0x61706971;  // "apiq"

/// What all matrices that read one input share.
struct ApiqInputs {
  std::vector<float> h;  // H [cols, cols]
  Drift drift;           // of drift.h, or empty
  GptqFactor factor;     // of turns alone
};
struct InputsKey {
  ApiqRounding options;
  int64_t group = 0;
  bool operator==(const InputsKey&) const = default;
};

int64_t group_of(const Storage& storage, int64_t rows, int64_t cols) {
  const auto* grid = storage.base.get_if<GridStorage>();
  return grid == nullptr ? cols : scale_shape(*grid, rows, cols).group_cols;
}

const ApiqInputs& shared_inputs(const ApiqRounding& options, const RoundingProblem& problem) {
  const int64_t cols = problem.weights.cols();
  const int64_t group = group_of(problem.target.storage, problem.weights.rows(), cols);
  const InputStatistics& inputs = *problem.inputs;
  return problem.shared.get<ApiqInputs>(InputsKey{options, group}, [&] {
    ApiqInputs made;
    made.h.resize(static_cast<size_t>(cols * cols));
    inputs.moment->copy_to(made.h.data(), problem.threads);
    if (inputs.cross && options.drift > 0) {
      made.drift = make_drift(inputs, options.damping, problem.threads);
    }
    if (options.parity == ApiqRounding::Parity::kNone) {
      made.factor = make_gptq_factor(*inputs.moment, nullptr, {.damping = options.damping}, group, problem.threads);
    }
    return made;
  });
}

/// AdamW (Loshchilov and Hutter 2017, 1711.05101, algorithm 2) with PyTorch's constants.
class AdamW {
 public:
  AdamW(size_t size, double rate, double decay) : rate_(rate), decay_(decay), first_(size), second_(size) {}

  void step(const std::vector<float>& gradient, std::vector<float>& values) {
    constexpr double kFirst = 0.9, kSecond = 0.999, kEpsilon = 1e-8;
    ++steps_;
    const double of_first = 1 - std::pow(kFirst, steps_), of_second = 1 - std::pow(kSecond, steps_);
    for (size_t i = 0; i < values.size(); ++i) {
      const double g = gradient[i];
      const double m = kFirst * static_cast<double>(first_[i]) + (1 - kFirst) * g;
      const double v = kSecond * static_cast<double>(second_[i]) + (1 - kSecond) * g * g;
      first_[i] = static_cast<float>(m), second_[i] = static_cast<float>(v);
      const double now = static_cast<double>(values[i]) * (1 - rate_ * decay_);
      values[i] = static_cast<float>(now - rate_ * (m / of_first) / (std::sqrt(v / of_second) + kEpsilon));
    }
  }

 private:
  double rate_, decay_, steps_ = 0;
  std::vector<float> first_, second_;
};

class Apiq {
 public:
  Apiq(const ApiqRounding& options, const RoundingProblem& problem)
      : options_(options),
        problem_(problem),
        inputs_(shared_inputs(options, problem)),
        rows_(problem.weights.rows()),
        cols_(problem.weights.cols()),
        rank_(rank_of(problem.target.storage.side.low_rank, rows_, cols_)),
        w_(TileReader(problem.place, problem.weights, 1, problem.threads).decode_all()),
        wanted_(w_) {
    if (inputs_.drift.empty()) return;
    held_ = correct_for_drift(inputs_.drift, options.drift, cols_, wanted_, problem.threads);
  }

  Rounded run() {
    Rounded rounded = options_.parity == ApiqRounding::Parity::kNone ? take_turns() : descend();
    rounded.report.held_drift = held_;
    count_errors(w_, *rounded.matrix, rounded.report);
    return rounded;
  }

 private:
  Rounded take_turns() const {
    RoundingTarget codes = problem_.target;
    codes.storage = without_pair(codes.storage);
    std::vector<float> rest = wanted_;
    Rounded best;
    double least = 0;
    for (int64_t round = 0; round < options_.rounds; ++round) {
      GptqReport report;
      const auto base = quantize_gptq(problem_.place, DenseMatrix(rows_, cols_, rest), codes, inputs_.factor, false,
                                      problem_.ranks, problem_.threads, &report);
      const LowRankPair pair = best_pair(error_of(*base), rows_, cols_, inputs_.h.data(), rank_, problem_.threads);
      auto matrix = with_pair(problem_, *base, pair);
      const double now = checked(loss(error_of(*matrix)).value);
      if (round == 0 || now < least) {
        least = now;
        best = {std::move(matrix), feedback_report(report, inputs_.factor, options_.damping)};
      }
      rest = wanted_;
      subtract_product(pair, rows_, cols_, rest, problem_.threads);
      advance(1 / static_cast<double>(options_.rounds));
    }
    return best;
  }

  Rounded descend() const {
    if (problem_.target.search.constraint != ScaleConstraint::kNone) {
      misuse("{}: apiq:parity=paper learns its scales, which '{}' binds to powers of two", problem_.place,
             to_string(problem_.target));
    }
    LearnedClip clip(problem_.target.storage.base.get<GridStorage>(), w_, rows_, cols_);
    LowRankPair pair = first_pair();
    AdamW of_clip(clip.logits.size(), options_.clip_rate, options_.decay);
    AdamW of_a(pair.a.size(), options_.rate, options_.decay), of_b(pair.b.size(), options_.rate, options_.decay);
    std::vector<float> error(w_.size()), da(pair.a.size()), db(pair.b.size());
    for (int64_t step = 0; step < options_.steps; ++step) {
      clip.quantize(error.data(), problem_.threads);
      for (size_t i = 0; i < error.size(); ++i) error[i] = wanted_[i] - error[i];
      subtract_product(pair, rows_, cols_, error, problem_.threads);
      const Loss now = loss(error);
      checked(now.value);
      // dL/dQ = dL/d(A B) = g; dL/dA^T = B g^T, dL/dB = A^T g.
      sgemm_panels(Transpose::kYes, rank_, rows_, cols_, 1, pair.b.data(), now.gradient.data(), 0, da.data(),
                   problem_.threads);
      sgemm_panels(Transpose::kNo, rank_, cols_, rows_, 1, pair.a.data(), now.gradient.data(), 0, db.data(),
                   problem_.threads);
      of_clip.step(clip.gradient(now.gradient.data(), problem_.threads), clip.logits);
      of_a.step(da, pair.a), of_b.step(db, pair.b);
      advance(1 / static_cast<double>(options_.steps));
    }
    const auto base = clip.store(problem_.place, problem_.threads);
    return {with_pair(problem_, *base, pair), {}};
  }

  /// peft's: B uniform in +-1 / sqrt(cols) (Kaiming's bound with slope sqrt(5)), A zero.
  LowRankPair first_pair() const {
    LowRankPair pair{std::vector<float>(static_cast<size_t>(rank_ * rows_)),
                     std::vector<float>(static_cast<size_t>(rank_ * cols_))};
    Rng rng(0, kFirstFactors);
    const double bound = 1 / std::sqrt(static_cast<double>(cols_));
    for (float& value : pair.b) value = static_cast<float>(bound * (2 * rng.uniform_double() - 1));
    return pair;
  }

  struct Loss {
    double value = 0;             // <E, E H>
    std::vector<float> gradient;  // with respect to what is subtracted in E: -2 E H
  };
  Loss loss(const std::vector<float>& error) const {
    Loss loss{0, std::vector<float>(error.size())};
    sgemm_panels(Transpose::kNo, rows_, cols_, cols_, 1, error.data(), inputs_.h.data(), 0, loss.gradient.data(),
                 problem_.threads);
    for (size_t i = 0; i < error.size(); ++i) {
      loss.value += static_cast<double>(error[i]) * static_cast<double>(loss.gradient[i]);
    }
    for (float& value : loss.gradient) value *= -2;
    return loss;
  }

  /// W* less what decodes.
  std::vector<float> error_of(const StoredMatrix& matrix) const {
    std::vector<float> error = matrix.decode_all();
    for (size_t i = 0; i < error.size(); ++i) error[i] = wanted_[i] - error[i];
    return error;
  }

  double checked(double loss) const {
    if (!std::isfinite(loss)) fail(ErrorKind::kFailed, "{}: apiq: the layer's loss is not finite", problem_.place);
    return loss;
  }

  void advance(double share) const {
    if (problem_.on_progress) problem_.on_progress(share);
  }

  const ApiqRounding& options_;
  const RoundingProblem& problem_;
  const ApiqInputs& inputs_;
  int64_t rows_, cols_, rank_;
  std::vector<float> w_, wanted_;
  std::optional<double> held_;  // as in round/report.h
};

}  // namespace

Needs needs_of(const ApiqRounding& options) {
  return {.second_moment = true, .cross_moment = options.drift > 0, .halves = options.drift > 0};
}

bool rounds_onto(const ApiqRounding& options, const Storage& storage) {
  const LowRankStorage& pair = storage.side.low_rank;
  if (!pair.present() || !rounds_onto(Rounding(NearestRounding{}), Storage{pair.factors, {}})) return false;
  const Storage codes = without_pair(storage);
  if (options.parity == ApiqRounding::Parity::kNone) return rounds_onto(Rounding(GptqRounding{}), codes);
  return is_scaled_grid(codes) && LearnedClip::serves(codes.base.get<GridStorage>());
}

Storage storage_by(const ApiqRounding&, Storage wanted) { return wanted; }

/// Beside the codes': W, W*, E, what decodes to them, and AdamW's numbers of the factors.
RoundingCost cost_of(const ApiqRounding& options, const RoundingShape& shape) {
  RoundingShape of_codes = shape;
  of_codes.target.storage = without_pair(shape.target.storage);
  const auto rows = static_cast<double>(shape.rows), cols = static_cast<double>(shape.cols);
  const int64_t rank = rank_of(shape.target.storage.side.low_rank, shape.rows, shape.cols);
  const double square = 2 * rows * cols * cols;
  RoundingCost cost;
  if (options.parity == ApiqRounding::Parity::kNone) {
    const auto rounds = static_cast<double>(options.rounds);
    cost = cost_of(Rounding(GptqRounding{}), of_codes);
    cost.nearest = rounds * (cost.nearest + 3 * rows * cols), cost.loop *= rounds;
    cost.flops = rounds * (cost.flops + square + 52 * static_cast<double>(rank + 16) * cols * (2 * rows + cols));
  } else {
    const auto steps = static_cast<double>(options.steps);
    cost.flops = steps * (square + 6 * rows * cols * static_cast<double>(rank));
    cost.nearest = 2 * steps * rows * cols;
  }
  if (options.drift > 0 && shape.gathered.cross_moment) add_drift_cost(shape, cost);
  cost.shared_bytes += 8 * shape.cols * shape.cols;
  cost.bytes += 24 * shape.rows * shape.cols + 16 * (rank + 16) * (shape.rows + shape.cols);
  return cost;
}

Rounded round_by(const ApiqRounding& options, const RoundingProblem& problem) { return Apiq(options, problem).run(); }

namespace {

constexpr std::string_view kParity[] = {"none", "paper"};
constexpr Option kOptions[] = {
    number_option<&ApiqRounding::rounds>("rounds", 1, 1000, "turns: codes, then the product that is best beside them"),
    number_option<&ApiqRounding::drift>("drift", 0, 1, "share of the inputs' own error that is made up for"),
    number_option<&ApiqRounding::damping>("damping", 0, 0.99, "added to the diagonal, as a share of its mean", "damp"),
    choice_option<&ApiqRounding::parity>("parity", kParity, "paper: a learned clip and factors by AdamW, not turns"),
    number_option<&ApiqRounding::steps>("steps", 1, 1e6, "of AdamW (parity=paper)"),
    number_option<&ApiqRounding::rate>("rate", 0, 1, "of the factors (parity=paper)"),
    number_option<&ApiqRounding::clip_rate>("clip-rate", 0, 1, "of the clip (parity=paper)"),
    number_option<&ApiqRounding::decay>("decay", 0, 1, "of weights, AdamW's (parity=paper)"),
};

}  // namespace

constinit const RoundingRow kApiqMethod =
    rounding_row<ApiqRounding>("apiq", kOptions, "codes and a low-rank product chosen for each other, for the outputs",
                               "rounded together with a low-rank product (ApiQ)");

}  // namespace bitloom
