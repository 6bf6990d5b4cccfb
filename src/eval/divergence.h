#pragma once
// How far a model's predictions are from a reference model's on the same tokens:
//   KL(ref || model) = sum_v p_ref(v) (log p_ref(v) - log p_model(v)), per scored position, in nats.

#include <memory>
#include <string>

#include "base/context.h"
#include "eval/logits_source.h"
#include "eval/windows.h"

namespace bitloom {

struct DivergenceResult {
  double kl_mean = 0, kl_low = 0, kl_high = 0;  // mean and its 95 % interval (interval.h), cut off at 0
  std::string interval;                         // what the interval rests on: "Student t over 41 windows"
  // Exact, over all scored positions; between two ranks interpolated linearly.
  double kl_median = 0, kl_p90 = 0, kl_p99 = 0, kl_p999 = 0, kl_max = 0;
  double top1 = 0;  // share of positions where both have the same most likely token (lowest id among equals)
  double nll = 0, nll_ref = 0;  // mean per scored token, both models
  int64_t tokens = 0, windows = 0;
  double seconds = 0;
};

/// Both models run on the same windows, one window at a time. Memory: kScoreRows rows of logits of each.
/// Error(kRefused) when their vocabularies differ; Error(kFailed) naming model, window and position of a logit that is
/// not finite.
DivergenceResult divergence(LogitsSource& reference, LogitsSource& model, const TextWindows& windows, Context& context);

/// The reference's log-probabilities of every scored position, written once (--save-ref) and read as a LogitsSource.
/// Layout and precision in reference_format.h. The file knows tokenizer hash, text hash and windows; opening it for
/// other ones is refused with both named. Appears at `path` when complete; an earlier reference file there is replaced,
/// any other file is not (Error(kUsage)). Error(kFailed) when it cannot be written or the disk is too small.
void write_reference(const std::string& path, LogitsSource& reference, const TextWindows& windows,
                     const std::string& tokenizer_hash, const std::string& text_hash, Context& context);
bool is_reference_file(const std::string& path);
/// run() takes the inputs of one of `windows`; logits() serves its scored positions only.
std::unique_ptr<LogitsSource> open_reference(const std::string& path, const TextWindows& windows,
                                             const std::string& tokenizer_hash, const std::string& text_hash);

}  // namespace bitloom
