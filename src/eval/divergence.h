#pragma once
// How far a model's predictions are from a reference model's on the same tokens:
//   KL(ref || model) = sum_v p_ref(v) (log p_ref(v) - log p_model(v)), per scored position, in nats.

#include <memory>
#include <string>

#include "base/context.h"
#include "eval/logits_source.h"
#include "eval/perplexity.h"

namespace bitloom {

struct DivergenceResult {
  double kl_mean = 0, kl_low = 0, kl_high = 0;  // mean and its 95 % interval (windows as units)
  double kl_median = 0, kl_p90 = 0, kl_p99 = 0, kl_p999 = 0, kl_max = 0;
  double top1 = 0;  // share of positions where both have the same most likely token
  double nll = 0, nll_ref = 0;  // of the text's tokens, both models
  int64_t tokens = 0, windows = 0;
  double seconds = 0;
};

/// Both models run on the same windows, one window at a time. Memory: one window's logits of the reference.
DivergenceResult divergence(LogitsSource& reference, LogitsSource& model, const TextWindows& windows, Context& context);

/// The reference's log-probabilities of every scored position, written once (--save-ref) and read as a LogitsSource.
/// Layout in reference_file.cc. The file knows tokenizer hash, text hash and windows; opening it for other ones is refused.
void write_reference(const std::string& path, LogitsSource& reference, const TextWindows& windows,
                     const std::string& tokenizer_hash, const std::string& text_hash, Context& context);
bool is_reference_file(const std::string& path);
std::unique_ptr<LogitsSource> open_reference(const std::string& path, const TextWindows& windows,
                                             const std::string& tokenizer_hash, const std::string& text_hash);

}  // namespace bitloom
