#pragma once
// Perplexity of a text, by a named protocol. Every figure carries its protocol, text hash and token count.
//
// Goals of this folder: judge any model through its logits alone (logits/), on the same windows (windows.h), in double
// precision, with an interval beside every mean (statistics/), the same for any number of threads.
// Non-goals: loading models, reading text files, printing. Tasks with answers are tasks/task.h.

#include <span>
#include <string>

#include "base/context.h"
#include "eval/logits/logits_source.h"
#include "eval/windows.h"

namespace bitloom {

struct PerplexityResult {
  double nll = 0;  // mean negative log likelihood per scored token, nats
  double perplexity = 0;
  double perplexity_low = 0, perplexity_high = 0;  // 95 % interval, exp of the interval of nll
  std::string interval;                            // what it rests on: "Student t over 41 windows"
  double bits_per_byte = 0;  // total nll / ln 2 / bytes of the text scored (rolling over the whole text; else 0)
  int64_t tokens = 0, windows = 0;
  double seconds = 0;
};

/// What the losses of every scored token, in order, amount to. `seconds` stays 0.
PerplexityResult perplexity_of(std::span<const double> losses, const TextWindows& windows);

/// One window at a time. Error(kFailed) naming window and position when the model gives a logit that is not finite;
/// Error(kRefused) when a token of the text is outside the model's vocabulary.
PerplexityResult perplexity(LogitsSource& model, const TextWindows& windows, Context& context);

}  // namespace bitloom
