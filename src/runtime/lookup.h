#pragma once
// Speculation by prompt lookup (Saxena, "Prompt Lookup Decoding", 2023): where the last tokens stood before in the
// text, what followed them there is guessed to follow here, and a pass over several tokens checks the guesses for
// little more than one token costs. The tokens are those that are generated without: a guess counts only when it is
// what the sampler takes at its place.

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "ops/packed_linear.h"

namespace bitloom {

/// Tokens that may be guessed at once: with the token before them they are a pass that has the kernels of single tokens
/// (kUnpackedTokens of ops/packed_linear.h), and so their logits.
inline constexpr int64_t kMostGuesses = kUnpackedTokens - 1;

/// At most `count` tokens that followed the latest earlier place where the last 3, else the last 2, tokens of `text`
/// stand; none when there is none.
std::vector<int32_t> look_up(std::span<const int32_t> text, int64_t count);

struct LookupHooks {
  /// Appends tokens to the sequence; logits [tokens, vocab], valid until the next call.
  std::function<std::span<float>(std::span<const int32_t> tokens)> step;
  /// Forgets all but the first `size` tokens of the sequence.
  std::function<void(int64_t size)> truncate;
};

/// Feeds a sequence token by token, and guesses ahead.
class LookupSteps {
 public:
  explicit LookupSteps(const LookupHooks& hooks) : hooks_(hooks) {}

  /// Logits [vocab] after `text`, of which all but the last token has been fed. At most `guesses` tokens are guessed.
  std::span<float> next(std::span<const int32_t> text, int64_t guesses);
  /// Forgets guesses that did not become part of `text`.
  void finish(std::span<const int32_t> text);

  int64_t passes() const { return passes_; }
  int64_t guessed() const { return guessed_; }
  int64_t accepted() const { return accepted_; }

 private:
  std::span<float> row(size_t index) const { return rows_.subspan(index * vocab_, vocab_); }

  const LookupHooks& hooks_;
  std::vector<int32_t> guesses_;
  std::span<float> rows_;  // logits after the token before the guesses, and after each
  size_t vocab_ = 0, used_ = 0;
  int64_t passes_ = 0, guessed_ = 0, accepted_ = 0;
};

}  // namespace bitloom
