#pragma once
// What an evaluation needs of a model: logits. Judges see nothing else, so every model is judged alike.

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

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

  /// Runs several sequences; logits_at() then serves rows of them until the next run of either kind. They must stay
  /// where they are until then. A source may run them at once and what they have in common once; this one runs each
  /// when its rows are asked for.
  virtual void run_all(std::span<const std::vector<int32_t>> sequences);
  struct Row {
    int64_t sequence = 0, position = 0;
  };
  /// out [rows, vocab]: the logits at `rows`. Error(kFailed) for rows that run_all() did not see.
  virtual void logits_at(std::span<const Row> rows, float* out);

 private:
  std::span<const std::vector<int32_t>> sequences_;
  int64_t current_ = -1;  // the sequence that was run last
};

/// A Decoder as a LogitsSource. The decoder must outlive it. Keeps a copy of one sequence's hidden states, so that two
/// sources may share a decoder.
std::unique_ptr<LogitsSource> logits_of(Decoder& decoder);

/// The same with a KV cache: run() keeps what the sequence has in common with the one before, from the first token on,
/// and runs the rest. Generation costs one step per token, prompts that begin alike cost their difference. Sums come in
/// another order than in one pass, so that numbers agree with logits_of() to rounding. run_all() keeps what all
/// sequences share in the same way, and runs the rest as one tree (token_tree.h) in one pass. Memory: the longest
/// sequence's keys and values, hidden states and activations of the last run. run() and logits() make passes of at most
/// `pass_rows` (> 0) rows: 512 have products at full rate and little memory; kUnpackedTokens have those of decoding
/// tokens. `kv`: how run() keeps keys and values, and what all sequences of run_all() share; its branches see each
/// other's as fp32.
std::unique_ptr<LogitsSource> logits_of_steps(Decoder& decoder, int64_t pass_rows = 512, KvFormat kv = KvFormat::kFp32);

}  // namespace bitloom
