#include "round/claq/claq.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "base/error.h"
#include "base/memory/large_buffer.h"
#include "base/rng.h"
#include "base/simd/lane_sums.h"
#include "base/simd/vector_clones.h"
#include "round/claq/allocation.h"
#include "round/claq/refine.h"
#include "round/gptq/gptq.h"
#include "round/kmeans/exact_kmeans.h"
#include "round/kmeans/kmeans.h"
#include "round/scale/whole_matrix.h"

namespace bitloom {
namespace {

using Allocation = ClaqRounding::Allocation;
using Parity = ClaqRounding::Parity;

/// What the options come to where a publication is to be reproduced.
ClaqRounding effective(ClaqRounding options) {
  if (options.parity == Parity::kNone) return options;
  options.row_scales = false;
  options.refine = 0;
  options.allocation = Allocation::kOutliers;
  return options;
}

Reservation reservation(const ClaqRounding& options) { return {options.reserved, options.reserved_most}; }

GptqRounding feedback(const ClaqRounding& options) { return {.damping = options.damping, .order = options.order}; }

/// Below, a column's count rounded up is more than the storage has room for.
constexpr int64_t kLeastPublishedRows = 100;

BITLOOM_VECTOR_CLONES double sum_of_squares(const float* x, int64_t n) {
  return lane_sum<16>(
      n, [x](int64_t i)
             __attribute__((always_inline)) { return static_cast<double>(x[i]) * static_cast<double>(x[i]); });
}

/// The root mean square of a row, in fp16; 1 where it is 0 or no number of fp16.
float row_scale(const float* w, int64_t cols) {
  const double mean = sum_of_squares(w, cols) / static_cast<double>(std::max<int64_t>(cols, 1));
  const float scale = finite_f16(static_cast<float>(std::sqrt(mean)));
  return scale > 0 && std::isfinite(scale) ? scale : 1.0f;
}

/// One matrix on its way.
class Claq {
 public:
  Claq(const ClaqRounding& options, const RoundingProblem& problem, const GptqFactor& factor)
      : options_(options),
        problem_(problem),
        factor_(factor),
        costs_(factor.error_costs()),
        rows_(problem.weights.rows()),
        cols_(problem.weights.cols()),
        milli_bits_(problem.target.storage.base.get<CodebookStorage>().milli_bits),
        pair_(width_pair_of(options, problem.place, milli_bits_)) {}

  /// Once: the weights are let go.
  CodebookPlan plan() {
    CodebookPlan plan;
    read(plan.row_scales);
    const Reservation shares = reservation(options_);
    std::vector<int64_t> order;
    if (shares.mean() > 0 || options_.allocation == Allocation::kOutliers) {
      order = by_falling(outlier_counts(w_, rows_, cols_, options_.threshold), factor_.diagonal);
    }
    plan.widths = widths(order, plan.row_scales);
    if (shares.mean() > 0) {
      plan.kept = options_.parity == Parity::kNone ? kept_by_magnitude(order, rows_, shares)
                                                   : kept_as_published(order, rows_, shares, bug_order());
    }
    plan.tables_fit_kept = options_.parity == Parity::kCode;
    if (options_.refine > 0) plan.fit_ahead = &problem_.threads;  // refinement moves tables anyway
    if (options_.refine > 0) {
      scales_ = plan.row_scales;
      plan.refine = [this](const LoopResult& result, ColumnCodebooks& chosen) { refine(result, chosen); };
    }
    w_ = {}, columns_ = {};
    return plan;
  }

 private:
  /// The two widths that columns are given.
  static WidthPair width_pair_of(const ClaqRounding& options, const std::string& place, int64_t milli_bits) {
    if (options.allocation != Allocation::kGain) return width_pair(place, milli_bits, options.narrow, options.wide);
    const auto whole = static_cast<int>(milli_bits / 1000);
    return width_pair(place, milli_bits, options.narrow != 0 ? options.narrow : std::max(1, whole - 1),
                      options.wide != 0 ? options.wide : std::min(8, whole < 4 ? whole + 2 : whole + 1));
  }

  /// W once: rows' scales where they are asked for, columns where their gain is measured, and rows where outliers are
  /// looked for.
  void read(std::vector<float>& row_scales) {
    const auto size = static_cast<size_t>(rows_ * cols_);
    const bool outliers = reservation(options_).mean() > 0 || options_.allocation == Allocation::kOutliers;
    if (options_.row_scales) row_scales.resize(static_cast<size_t>(rows_));
    if (outliers || options_.allocation == Allocation::kSaliency) w_.resize(size);
    if (options_.allocation == Allocation::kGain) columns_ = make_large_buffer(size);
    visit_for_codebook(problem_.place, problem_.weights, problem_.threads,
                       [&](int64_t first, int64_t rows, const float* w) {
                         for (int64_t r = 0; r < rows && options_.row_scales; ++r) {
                           row_scales[static_cast<size_t>(first + r)] = row_scale(w + r * cols_, cols_);
                         }
                         if (!w_.empty()) std::copy_n(w, rows * cols_, w_.begin() + first * cols_);
                         for (int64_t c = 0; c < cols_ && columns_ != nullptr; ++c) {
                           float* column = columns_.get() + c * rows_ + first;
                           for (int64_t r = 0; r < rows; ++r) column[r] = w[r * cols_ + c];
                         }
                       });
  }

  std::vector<int64_t> bug_order() const {
    return options_.parity == Parity::kCode ? factor_.order : std::vector<int64_t>{};
  }

  std::vector<int> widths(const std::vector<int64_t>& outlier_order, const std::vector<float>& scales) const {
    if (options_.allocation == Allocation::kGain) return gain_widths(scales);
    if (options_.allocation == Allocation::kOutliers) return ranked_widths(outlier_order, milli_bits_, pair_);
    std::vector<double> scores(static_cast<size_t>(cols_));
    Rng rng(1, 71);
    for (double& score : scores) score = rng.uniform();
    if (options_.allocation == Allocation::kSaliency) scores = saliencies(w_, rows_, cols_, costs_);
    return ranked_widths(by_falling(scores, factor_.diagonal), milli_bits_, pair_);
  }

  /// Errors of every width from one k-means of each original column.
  std::vector<int> gain_widths(const std::vector<float>& scales) const {
    std::vector<float> masses;
    for (const float scale : scales) masses.push_back(scale * scale);
    struct Scratch {
      std::vector<float> x;
      GatheredPoints points;
    };
    std::vector<Scratch> scratches(static_cast<size_t>(problem_.threads.thread_count()));
    std::vector<std::vector<double>> errors(static_cast<size_t>(cols_));
    const int64_t most = int64_t{1} << pair_.wide;
    problem_.threads.parallel_for_thread(cols_, [&](int64_t c, int thread) {
      Scratch& own = scratches[static_cast<size_t>(thread)];
      const float* column = columns_.get() + c * rows_;
      own.x.assign(column, column + rows_);
      for (size_t r = 0; r < scales.size(); ++r) own.x[r] /= scales[r];
      own.points.gather(own.x, masses, {}, most);
      const SortedPoints points(own.points.values(), own.points.masses());
      const ClusterTable table(points, most, likely_places(points, std::max<int64_t>(most / 4, 1)));
      const double cost = costs_[static_cast<size_t>(c)];
      for (int bits = 0; bits <= pair_.wide; ++bits) {
        errors[static_cast<size_t>(c)].push_back(cost * table.errors()[(size_t{1} << bits) - 1]);
      }
    });
    return widths_by_gain(errors, milli_bits_, pair_);
  }

  void refine(const LoopResult& result, ColumnCodebooks& chosen) const {
    const SecondMoment& moment = *problem_.inputs->moment;
    const double lambda = factor_.lambda();
    const auto moment_rows = [&](int64_t begin, int64_t end, float* out) {
      moment.copy_rows(begin, end, out, problem_.threads);
      for (int64_t c = begin; c < end; ++c) {
        float& own = out[(c - begin) * cols_ + c];
        // Damped as the loop's: a direction in which no token went is no licence for any weight.
        own = static_cast<float>((own == 0 ? 1.0 : static_cast<double>(own)) + lambda);
      }
    };
    refine_codebooks({rows_, cols_, result.original, factor_.order, moment_rows, scales_, result.scratch},
                     options_.refine, chosen, problem_.threads);
  }

  const ClaqRounding& options_;
  const RoundingProblem& problem_;
  const GptqFactor& factor_;
  std::vector<float> costs_;
  int64_t rows_, cols_, milli_bits_;
  WidthPair pair_;
  std::vector<float> w_;  // [rows, cols], or empty
  LargeBuffer columns_;   // W transposed, or null
  std::vector<float> scales_;
};

constexpr std::string_view kOrders[] = {"natural", "act-order", "group-aware"};
constexpr std::string_view kAllocations[] = {"outliers", "saliency", "gain", "random"};
constexpr std::string_view kParities[] = {"none", "paper", "code"};

constexpr Option kOptions[] = {
    number_option<&ClaqRounding::damping>("damping", 0, 0.99, "added to the diagonal, as a share of its mean", "damp"),
    choice_option<&ClaqRounding::order>("order", kOrders, "in which columns are rounded"),
    choice_option<&ClaqRounding::allocation>("allocation", kAllocations, "which columns get more bits"),
    number_option<&ClaqRounding::narrow>("narrow", 0, 8, "bits of the narrow columns; 0: by the mean"),
    number_option<&ClaqRounding::wide>("wide", 0, 8, "bits of the wide columns; 0: by the mean"),
    number_option<&ClaqRounding::threshold>("threshold", 0, 1000, "an outlier is so many times the mean |w|"),
    number_option<&ClaqRounding::reserved>("reserved", 0, 0.24, "share of a column kept in fp16 by each tail"),
    number_option<&ClaqRounding::reserved_most>("reserved-most", 0, 0.24,
                                                "the same of the tenth of the columns with most outliers"),
    flag_option<&ClaqRounding::row_scales>("row-scales", "rows are divided by their root mean square"),
    number_option<&ClaqRounding::refine>("refine", 0, 100, "turns of coordinate descent over tables and codes"),
    choice_option<&ClaqRounding::parity>("parity", kParities, "reproduces the paper, or its code"),
};

}  // namespace

Needs needs_of(const ClaqRounding&) { return {.second_moment = true}; }

bool rounds_onto(const ClaqRounding&, const Storage& storage) { return is_column_codebook(storage); }

Storage storage_by(const ClaqRounding& options, Storage wanted) {
  const ClaqRounding actual = effective(options);
  const Reservation shares = reservation(actual);
  // The published code may give every column the greater share, from both tails.
  const double mean = actual.parity == Parity::kCode ? 2 * std::max(shares.most_share, shares.share) : shares.mean();
  wanted.side.outliers.most = std::round(mean * 1e9) / 1e9;  // for a short name
  // Published counts are rounded up: by two of a column's weights at most, which are 2 % of a hundred.
  if (actual.parity != Parity::kNone && wanted.side.outliers.present()) wanted.side.outliers.most += 0.02;
  wanted.side.frame.out_scales = actual.row_scales;
  return wanted;
}

/// Beside the loop k-means once or twice, refinement, and less than the loop's own weights while widths are found.
RoundingCost cost_of(const ClaqRounding& options, const RoundingShape& shape) {
  const double turns = static_cast<double>(effective(options).refine);
  const auto n = static_cast<double>(shape.rows), d = static_cast<double>(shape.cols);
  RoundingCost cost = feedback_cost(shape, {.separable = false, .nearest = 2 * kmeans_work(shape)}, false);
  cost.flops += 2 * turns * n * d * d;
  cost.bytes += refine_memory(shape.rows, shape.cols) + shape.threads * ErrorProduct::kThreadMemory;
  return cost;
}

double published_bits(const ClaqRounding& options, int64_t milli_bits) {
  const double mean = static_cast<double>(milli_bits) / 1000;
  return mean + reservation(options).mean() / 2 * (16 - std::floor(mean));
}

Rounded round_by(const ClaqRounding& options, const RoundingProblem& problem) {
  const ClaqRounding actual = effective(options);
  if (actual.parity != Parity::kNone && problem.weights.rows() < kLeastPublishedRows) {
    misuse("{}: has {} rows; published counts of weights to keep (parity) are for {} at least", problem.place,
           problem.weights.rows(), kLeastPublishedRows);
  }
  const GptqFactor& factor = shared_factor(feedback(actual), 0, problem);
  Claq claq(actual, problem, factor);
  const Storage storage = storage_by(options, problem.target.storage);
  const auto policies = make_codebook_policies(storage, factor.order, problem.weights.rows(), claq.plan());
  GptqReport report;
  Rounded result;
  result.matrix =
      quantize_columns(problem.place, problem.weights, *policies, factor, problem.ranks, problem.threads, &report);
  result.report = feedback_report(report, factor, actual.damping);
  return result;
}

constinit const RoundingRow kClaqMethod =
    rounding_row<ClaqRounding>("claq", kOptions, "error feedback onto column codebooks of mixed widths",
                               "column codebooks by error feedback (CLAQ)");

}  // namespace bitloom
