#pragma once
// What an evaluation needs of a model: logits. Judges see nothing else, so every model is judged alike.

#include <cstdint>
#include <memory>
#include <span>

#include "forward/decoder.h"

namespace bitloom {

class LogitsSource {
 public:
  virtual ~LogitsSource() = default;
  virtual int64_t vocab_size() const = 0;
  /// Tokens that a sequence may have; 0: any number.
  virtual int64_t max_positions() const { return 0; }
  /// Runs the model over one sequence; logits() then serves rows of it until the next call. Judges leave a window's
  /// last token out: nothing is predicted from it.
  virtual void run(std::span<const int32_t> tokens) = 0;
  /// out [count, vocab]: the logits at positions first .. first + count - 1 (each predicts the token after it).
  /// Error(kFailed) for positions that run() did not see.
  virtual void logits(int64_t first, int64_t count, float* out) = 0;
};

/// A Decoder as a LogitsSource. The decoder must outlive it. Keeps a copy of one sequence's hidden states, so that two
/// sources may share a decoder.
std::unique_ptr<LogitsSource> logits_of(Decoder& decoder);

/// The same with a KV cache: run() keeps what the sequence has in common with the one before, from the first token on,
/// and runs the rest. Generation costs one step per token, prompts that begin alike cost their difference. Sums come in
/// another order than in one pass, so that numbers agree with logits_of() to rounding. Memory: the longest sequence's
/// keys and values, the last one's hidden states.
std::unique_ptr<LogitsSource> logits_of_steps(Decoder& decoder);

}  // namespace bitloom
