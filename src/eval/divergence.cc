#include "eval/divergence.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "base/clock.h"
#include "base/error.h"
#include "eval/row_math.h"
#include "eval/scoring.h"
#include "eval/statistics/interval.h"

namespace bitloom {
namespace {

/// Value at `share` of the sorted values: rank share * (n - 1), between two ranks linearly.
double percentile(const std::vector<double>& sorted, double share) {
  const double rank = share * static_cast<double>(sorted.size() - 1);
  const auto below = static_cast<size_t>(rank);
  const size_t above = std::min(below + 1, sorted.size() - 1);
  return sorted[below] + (rank - static_cast<double>(below)) * (sorted[above] - sorted[below]);
}

void fill_percentiles(std::vector<double> kl, DivergenceResult& out) {
  std::sort(kl.begin(), kl.end());
  out.kl_median = percentile(kl, 0.5);
  out.kl_p90 = percentile(kl, 0.9);
  out.kl_p99 = percentile(kl, 0.99);
  out.kl_p999 = percentile(kl, 0.999);
  out.kl_max = kl.back();
}

std::vector<double> means_of_windows(std::span<const double> kl, const TextWindows& windows) {
  std::vector<double> means;
  size_t at = 0;
  for (const int64_t count : scored_counts(windows)) {
    double sum = 0;
    for (int64_t i = 0; i < count; ++i) sum += kl[at++];
    means.push_back(sum / static_cast<double>(count));
  }
  return means;
}

}  // namespace

std::vector<RowDivergence> divergence_rows(ReferenceRows& reference, LogitsSource& model, const TextWindows& windows,
                                           Context& context) {
  const int64_t vocab = model.vocab_size();
  if (reference.vocab_size() != vocab)
    refuse("the reference has a vocabulary of {}, the model one of {}: they cannot be compared", reference.vocab_size(),
           vocab);
  std::vector<RowDivergence> out(static_cast<size_t>(windows.scored_tokens));
  std::vector<float> logits;
  walk_windows(
      windows, vocab, "divergence", context,
      [&](std::span<const int32_t> inputs) {
        reference.run(inputs);
        model.run(inputs);
      },
      [&](const ScoreBlock& block) {
        reference.load(block, context);
        read_logits(model, "the model", block, context, logits);
        context.threads.parallel_for(block.rows(), [&](int64_t i) {
          const std::span<const float> q(logits.data() + i * vocab, static_cast<size_t>(vocab));
          out[static_cast<size_t>(block.scored_before + i)] =
              reference.against(i, q, block.targets[static_cast<size_t>(i)]);
        });
      });
  return out;
}

DivergenceResult summarize(std::span<const RowDivergence> rows, const TextWindows& windows) {
  DivergenceResult out;
  std::vector<double> kl;
  double variance = 0;
  int64_t same = 0;
  for (const RowDivergence& row : rows) {
    if (kl.empty() || row.kl > out.kl_max) out.kl_max = row.kl, out.kl_max_error = std::sqrt(row.variance);
    kl.push_back(row.kl);
    out.kl_certain += row.kl_certain;
    variance += row.variance;
    out.nll_ref += row.nll_p;
    out.nll += row.nll_q;
    same += row.same_top ? 1 : 0;
  }
  const auto tokens = static_cast<double>(rows.size());
  const MeanInterval mean = mean_interval(kl, scored_counts(windows));
  out.kl_mean = mean.mean;
  out.kl_low = std::max(0.0, mean.low);
  out.kl_high = mean.high;
  out.interval = mean.basis;
  out.kl_windows = means_of_windows(kl, windows);
  out.kl_certain /= tokens;
  out.kl_error = std::sqrt(variance) / tokens;
  out.nll /= tokens;
  out.nll_ref /= tokens;
  out.top1 = static_cast<double>(same) / tokens;
  fill_percentiles(std::move(kl), out);
  out.tokens = windows.scored_tokens;
  out.windows = static_cast<int64_t>(windows.windows.size());
  return out;
}

Json kl_figures(const DivergenceResult& result) {
  Json out = {{"kl_mean", result.kl_mean},
              {"kl_ci95", {result.kl_low, result.kl_high}},
              {"kl_median", result.kl_median},
              {"kl_p90", result.kl_p90},
              {"kl_p99", result.kl_p99},
              {"kl_p999", result.kl_p999},
              {"kl_max", result.kl_max},
              {"kl_windows", result.kl_windows},
              {"top1", result.top1}};
  if (result.kl_error == 0) return out;
  out["kl_sketch_bound"] = kSketchErrors * result.kl_error;
  out["kl_max_sketch_bound"] = kSketchErrors * result.kl_max_error;
  out["kl_certain"] = result.kl_certain;
  return out;
}

DivergenceResult divergence(ReferenceRows& reference, LogitsSource& model, const TextWindows& windows,
                            Context& context) {
  const Stopwatch watch;
  DivergenceResult out = summarize(divergence_rows(reference, model, windows, context), windows);
  out.seconds = watch.seconds();
  return out;
}

DivergenceResult divergence(LogitsSource& reference, LogitsSource& model, const TextWindows& windows,
                            Context& context) {
  return divergence(*rows_of(reference), model, windows, context);
}

}  // namespace bitloom
