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

}  // namespace bitloom
