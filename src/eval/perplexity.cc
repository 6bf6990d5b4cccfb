#include "eval/perplexity.h"

#include <cmath>
#include <numbers>
#include <vector>

#include "base/clock.h"
#include "eval/row_math.h"
#include "eval/scoring.h"
#include "eval/statistics/interval.h"

namespace bitloom {
namespace {

/// -log p(token | tokens before it in its window) of every scored token, in order.
std::vector<double> losses_of(LogitsSource& model, const TextWindows& windows, Context& context) {
  const int64_t vocab = model.vocab_size();
  std::vector<double> losses(static_cast<size_t>(windows.scored_tokens));
  std::vector<float> logits;
  walk_windows(
      windows, vocab, "perplexity", context, [&](std::span<const int32_t> inputs) { model.run(inputs); },
      [&](const ScoreBlock& block) {
        read_logits(model, "the model", block, context, logits);
        context.threads.parallel_for(block.rows(), [&](int64_t i) {
          const std::span<const float> row(logits.data() + i * vocab, static_cast<size_t>(vocab));
          losses[static_cast<size_t>(block.scored_before + i)] = row_nll(row, block.targets[static_cast<size_t>(i)]);
        });
      });
  return losses;
}

}  // namespace

PerplexityResult perplexity_of(std::span<const double> losses, const TextWindows& windows) {
  const MeanInterval mean = mean_interval(losses, scored_counts(windows));
  PerplexityResult out;
  out.nll = mean.mean;
  out.perplexity = std::exp(mean.mean);
  out.perplexity_low = std::exp(mean.low);
  out.perplexity_high = std::exp(mean.high);
  out.interval = mean.basis;
  out.tokens = windows.scored_tokens;
  out.windows = static_cast<int64_t>(windows.windows.size());
  if (windows.scored_bytes > 0)
    out.bits_per_byte =
        mean.mean * static_cast<double>(out.tokens) / std::numbers::ln2 / static_cast<double>(windows.scored_bytes);
  return out;
}

PerplexityResult perplexity(LogitsSource& model, const TextWindows& windows, Context& context) {
  const Stopwatch watch;
  PerplexityResult out = perplexity_of(losses_of(model, windows, context), windows);
  out.seconds = watch.seconds();
  return out;
}

}  // namespace bitloom
