#pragma once
// How far a model's predictions are from a reference model's on the same tokens:
//   KL(ref || model) = sum_v p_ref(v) (log p_ref(v) - log p_model(v)), per scored position, in nats.

#include <memory>
#include <string>
#include <vector>

#include "base/context.h"
#include "eval/logits/logits_source.h"
#include "eval/reference/format.h"
#include "eval/reference/rows.h"
#include "eval/windows.h"
#include "io/json.h"

namespace bitloom {

struct DivergenceResult {
  double kl_mean = 0, kl_low = 0, kl_high = 0;  // mean and its 95 % interval (statistics/interval.h), cut off at 0
  std::string interval;                         // what the interval rests on: "Student t over 41 windows"
  // Exact of the positions' values; between two ranks interpolated linearly.
  double kl_median = 0, kl_p90 = 0, kl_p99 = 0, kl_p999 = 0, kl_max = 0;
  double top1 = 0;  // share of positions where both have the same most likely token (lowest id among equals)
  double nll = 0, nll_ref = 0;  // mean per scored token, both models
  int64_t tokens = 0, windows = 0;
  std::vector<double> kl_windows;  // mean of each window: what two models are compared by, window against window
  double seconds = 0;

  // Of a compact reference (reference/compact_row.h); else kl_certain = kl_mean and the error is 0. kl_mean is an
  // unbiased estimate of what the full reference gives on the same tokens; kl_error is its standard error, erring
  // upwards; that of kl_max's own position is kl_max_error. The full reference's mean is not below kl_certain.
  double kl_certain = 0, kl_error = 0, kl_max_error = 0;
};

/// Standard errors of a compact reference that the stated bound stands for: by Chebyshev's inequality the error is
/// larger in at most 1 of 16 files whatever its distribution, and as a sum over many positions, near normal, in 1 of
/// 16000.
inline constexpr double kSketchErrors = 4;

/// Every scored position's divergence, in order. Both models run on the same windows, one window at a time. Memory:
/// kScoreRows rows of logits of each. Error(kRefused) when their vocabularies differ; Error(kFailed) naming model,
/// window and position of a logit that is not finite.
std::vector<RowDivergence> divergence_rows(ReferenceRows& reference, LogitsSource& model, const TextWindows& windows,
                                           Context& context);

/// What the positions of `windows` amount to. `seconds` stays 0.
DivergenceResult summarize(std::span<const RowDivergence> rows, const TextWindows& windows);

/// Both together.
DivergenceResult divergence(ReferenceRows& reference, LogitsSource& model, const TextWindows& windows,
                            Context& context);
DivergenceResult divergence(LogitsSource& reference, LogitsSource& model, const TextWindows& windows, Context& context);

/// Mean, interval, percentiles, means of windows, the bounds of a compact reference, and top1, as every verb's --json
/// names them.
Json kl_figures(const DivergenceResult& result);

/// The reference's log-probabilities of every scored position, written once (--save-ref): in full, or as sketches that
/// keep the file within `budget` bytes (0: no limit; in full when that fits). Layout and precision in
/// reference/format.h. The file knows tokenizer hash, text hash and windows; opening it for other ones is refused with
/// both named. Appears at `path` when complete; an earlier reference file there is replaced, any other file is not
/// (Error(kUsage)), nor is a budget too small for the positions accepted. Error(kFailed) when it cannot be written or
/// the disk is too small. Returns the header of what was written.
ReferenceHeader write_reference(const std::string& path, LogitsSource& reference, const TextWindows& windows,
                                const std::string& tokenizer_hash, const std::string& text_hash, Context& context,
                                uint64_t budget = 0);
bool is_reference_file(const std::string& path);
/// A file of either kind, for the inputs of `windows`.
std::unique_ptr<ReferenceRows> open_reference_rows(const std::string& path, const TextWindows& windows,
                                                   const std::string& tokenizer_hash, const std::string& text_hash);
/// A full file as the model it was: run() takes the inputs of one of `windows`; logits() serves its scored positions
/// only. Error(kRefused) for a compact one.
std::unique_ptr<LogitsSource> open_reference(const std::string& path, const TextWindows& windows,
                                             const std::string& tokenizer_hash, const std::string& text_hash);

}  // namespace bitloom
