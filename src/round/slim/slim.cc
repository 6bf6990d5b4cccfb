#include "round/slim/slim.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

#include "base/error.h"
#include "base/rng.h"
#include "format/families/affine/affine_storage.h"
#include "linalg/gemm.h"
#include "round/column_loop/affine_columns.h"
#include "round/gptq/gptq.h"
#include "round/scale/whole_matrix.h"

namespace bitloom {
namespace {

/// Allocation of widths to the groups of one matrix.
class SlimAllocation {
 public:
  SlimAllocation(const SlimRounding& options, const RoundingProblem& problem, const GptqFactor& factor)
      : options_(options),
        threads_(problem.threads),
        storage_(problem.target.storage.base.get<AffineStorage>()),
        rows_(problem.weights.rows()),
        cols_(problem.weights.cols()),
        costs_(factor.error_costs()),
        w_(TileReader(problem.place, problem.weights, 1, problem.threads).decode_all()) {
    inputs_ = draw_inputs(factor, options.inputs, threads_);
  }

  std::vector<uint8_t> widths() {
    const int64_t whole = cols_ / storage_.width(cols_);
    const std::vector<double> saliencies = group_saliencies();
    y_.assign(static_cast<size_t>(options_.inputs * rows_), 0);
    linear_dense(inputs_.data(), cols_, options_.inputs, w_.data(), rows_, cols_, nullptr, y_.data(), rows_, threads_);
    errors_.assign(y_.size(), 0);
    for (int64_t g = 0; g < storage_.groups(cols_); ++g) add_group(g, storage_.bits, 0);
    std::vector<uint8_t> last = slim_widths(saliencies, storage_.bits, whole, 0), best = last;
    const bool paper = options_.parity == SlimRounding::Parity::kPaper;
    double least = paper && whole >= 4 ? INFINITY : score();
    // The paper's m ends at G / 2 - 1.
    const int64_t most = paper ? whole / 2 - 1 : whole / 2;
    for (int64_t m = 1; m <= most; ++m) {
      const std::vector<uint8_t> next = slim_widths(saliencies, storage_.bits, whole, m);
      for (size_t g = 0; g < next.size(); ++g) {
        if (next[g] != last[g]) add_group(static_cast<int64_t>(g), next[g], last[g]);
      }
      last = next;
      if (const double now = score(); now < least) least = now, best = next;
    }
    return best;
  }

 private:
  std::vector<double> group_saliencies() const {
    std::vector<double> saliencies(static_cast<size_t>(storage_.groups(cols_)));
    threads_.parallel_for(static_cast<int64_t>(saliencies.size()), [&](int64_t g) {
      const int64_t first = g * storage_.width(cols_), last = first + storage_.width_of(g, cols_);
      for (int64_t r = 0; r < rows_; ++r) {
        for (int64_t c = first; c < last; ++c) {
          const double w = w_[static_cast<size_t>(r * cols_ + c)];
          saliencies[static_cast<size_t>(g)] += w * w * static_cast<double>(costs_[static_cast<size_t>(c)]);
        }
      }
    });
    return saliencies;
  }

  AffineScale nearest_scale(const AffineGroup& group, int bits) const {
    if (options_.parity == SlimRounding::Parity::kNone) return fit_affine(group, bits);
    return bits == 1 ? binary_affine(group) : range_affine(group, bits);
  }

  /// Adds what group g of `bits` bits instead of `before` (0: unrounded) does to the outputs.
  void add_group(int64_t g, int bits, int before) {
    const int64_t first = g * storage_.width(cols_), width = storage_.width_of(g, cols_);
    std::vector<float> change(static_cast<size_t>(rows_ * width)), outputs(errors_.size());
    constexpr int64_t kSlab = 64;
    threads_.parallel_for((rows_ + kSlab - 1) / kSlab, [&](int64_t slab) {
      for (int64_t r = slab * kSlab; r < std::min(rows_, (slab + 1) * kSlab); ++r) {
        const float* begin = w_.data() + r * cols_ + first;
        const AffineGroup group{{begin, begin + width}, {costs_.begin() + first, costs_.begin() + first + width}};
        const AffineScale now = nearest_scale(group, bits);
        const AffineScale then = before == 0 ? AffineScale{} : nearest_scale(group, before);
        for (size_t c = 0; c < group.w.size(); ++c) {
          const float x = group.w[c], old = before == 0 ? x : then.value(affine_code(x, then, before));
          change[static_cast<size_t>(r * width) + c] = now.value(affine_code(x, now, bits)) - old;
        }
      }
    });
    linear_dense(inputs_.data() + first, cols_, options_.inputs, change.data(), rows_, width, nullptr, outputs.data(),
                 rows_, threads_);
    for (size_t i = 0; i < errors_.size(); ++i) errors_[i] += outputs[i];
  }

  double score() const {
    const bool paper = options_.parity == SlimRounding::Parity::kPaper;
    if (paper || options_.score == SlimRounding::Score::kKl) return mean_softmax_kl(y_, errors_, options_.inputs);
    double sum = 0;
    for (const float e : errors_) sum += static_cast<double>(e) * static_cast<double>(e);
    return sum;
  }

  const SlimRounding& options_;
  ThreadPool& threads_;
  const AffineStorage& storage_;
  int64_t rows_, cols_;
  std::vector<float> costs_, w_, inputs_;
  std::vector<float> y_, errors_;  // [inputs, rows]: outputs, and what rounding adds to them
};

constexpr std::string_view kOrders[] = {"natural", "act-order", "group-aware"};
constexpr std::string_view kScores[] = {"kl", "output"};
constexpr std::string_view kParities[] = {"none", "paper"};
constexpr Option kOptions[] = {
    number_option<&SlimRounding::damping>("damping", 0, 0.99, "added to the diagonal, as a share of its mean", "damp"),
    choice_option<&SlimRounding::order>("order", kOrders, "in which columns are rounded"),
    choice_option<&SlimRounding::score>("score", kScores, "what decides how many groups differ in width"),
    number_option<&SlimRounding::inputs>("inputs", 1, 100000, "drawn for the score"),
    number_option<&SlimRounding::salience>("salience", 1, 1000, "weight of errors of weights far from the mean"),
    choice_option<&SlimRounding::parity>("parity", kParities, "reproduces the paper"),
};

}  // namespace

/// x = U^-1 z by substitution from the last column on.
std::vector<float> draw_inputs(const GptqFactor& factor, int64_t count, ThreadPool& threads) {
  const int64_t n = factor.channels;
  std::vector<float> z(static_cast<size_t>(count * n)), inputs(z.size());
  Rng rng(1, 93);
  for (float& x : z) x = static_cast<float>(rng.normal());
  threads.parallel_for(count, [&](int64_t i) {
    float* x = z.data() + i * n;
    for (int64_t p = n - 1; p >= 0; --p) {
      const float* u = factor.u.data() + p * n;
      double sum = x[p];
      for (int64_t k = p + 1; k < n; ++k) sum -= static_cast<double>(u[k]) * static_cast<double>(x[k]);
      x[p] = static_cast<float>(sum / static_cast<double>(u[p]));
      const int64_t column = factor.order[static_cast<size_t>(p)];
      inputs[static_cast<size_t>(i * n + column)] = factor.diagonal[static_cast<size_t>(column)] == 0 ? 0.0f : x[p];
    }
  });
  return inputs;
}

std::vector<uint8_t> slim_widths(const std::vector<double>& saliencies, int bits, int64_t whole, int64_t m) {
  std::vector<size_t> order(static_cast<size_t>(whole));
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return saliencies[a] < saliencies[b]; });
  std::vector<uint8_t> widths(saliencies.size(), static_cast<uint8_t>(bits));
  for (size_t i = 0; i < static_cast<size_t>(m); ++i) {
    --widths[order[i]];
    ++widths[order[order.size() - 1 - i]];
  }
  return widths;
}

double mean_softmax_kl(const std::vector<float>& y, const std::vector<float>& d, int64_t inputs) {
  const size_t outputs = y.size() / static_cast<size_t>(inputs);
  double mean = 0;
  std::vector<double> p(outputs), q(outputs);
  const auto normalise = [](std::vector<double>& logits) {
    const double greatest = *std::max_element(logits.begin(), logits.end());
    double sum = 0;
    for (const double x : logits) sum += std::exp(x - greatest);
    for (double& x : logits) x -= greatest + std::log(sum);
  };
  for (size_t i = 0; i < static_cast<size_t>(inputs); ++i) {
    for (size_t o = 0; o < outputs; ++o) {
      p[o] = y[i * outputs + o];
      q[o] = p[o] + static_cast<double>(d[i * outputs + o]);
    }
    normalise(p), normalise(q);
    for (size_t o = 0; o < outputs; ++o) mean += std::exp(p[o]) * (p[o] - q[o]) / static_cast<double>(inputs);
  }
  return mean;
}

Needs needs_of(const SlimRounding&) { return {.second_moment = true}; }

bool rounds_onto(const SlimRounding&, const Storage& storage) {
  if (!is_affine(storage)) return false;
  const auto& affine = storage.base.get<AffineStorage>();
  return affine.mixed && affine.bits > 1 && affine.bits < 8;
}

Storage storage_by(const SlimRounding&, Storage wanted) { return wanted; }

/// Beside the loop every group is rounded thrice, and the outputs' errors are products with the drawn inputs.
RoundingCost cost_of(const SlimRounding& options, const RoundingShape& shape) {
  RoundingCost cost = feedback_cost(shape, {.separable = true, .nearest = 4 * affine_work(shape)}, false);
  const auto n = static_cast<double>(shape.rows), d = static_cast<double>(shape.cols);
  const auto t = static_cast<double>(options.inputs);
  cost.flops += t * d * d + 6 * t * n * d;
  cost.bytes += 4 * (shape.rows * shape.cols + options.inputs * (2 * shape.cols + 3 * shape.rows));
  return cost;
}

Rounded round_by(const SlimRounding& options, const RoundingProblem& problem) {
  const int64_t group = problem.target.storage.base.get<AffineStorage>().width(problem.weights.cols());
  const GptqFactor& factor = shared_factor({.damping = options.damping, .order = options.order}, group, problem);
  AffinePlan plan;
  if (options.parity == SlimRounding::Parity::kPaper) plan.search = AffineSearch::kCalibrated;
  plan.salient_weight = options.salience;
  plan.widths = SlimAllocation(options, problem, factor).widths();
  const std::vector<float> costs = factor.error_costs();
  const ColumnProblem columns{problem.place, problem.weights, problem.target, factor.order, costs, false};
  const auto policies = make_affine_policies(columns, problem.target.storage, std::move(plan), problem.threads);
  GptqReport report;
  Rounded result;
  result.matrix =
      quantize_columns(problem.place, problem.weights, *policies, factor, problem.ranks, problem.threads, &report);
  result.report = feedback_report(report, factor, options.damping);
  if (const int64_t whole = problem.weights.cols() / group; whole < 2) {
    result.report.remarks.push_back(fmt::format("all widths are {} bits: {} columns are {} whole group of {}",
                                                problem.target.storage.base.get<AffineStorage>().bits,
                                                problem.weights.cols(), whole, group));
  }
  return result;
}

constinit const RoundingRow kSlimMethod =
    rounding_row<SlimRounding>("slim", kOptions, "bits moved from groups of little salience to others (affine2-mixed)",
                               "bits moved to salient groups (SliM-LLM)");

}  // namespace bitloom
