#pragma once
// Log-likelihoods of continuations: requests are cut to tokens, sorted, batched, and run with what they share once.

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/context.h"
#include "eval/logits/logits_source.h"
#include "tokenize/tokenizer.h"

namespace bitloom {

/// Tokens of a context and its continuation; the last `scored` are the continuation's.
struct ScoredTokens {
  std::vector<int32_t> tokens;
  int64_t scored = 0;
};

/// Cuts contexts and continuations into tokens together, as lm_eval does:
///   blanks at the context's end (as Unicode has them) go over to the continuation; then
///   head = encode(context), tail = encode(context + continuation) without its first size(head) tokens; tail is scored.
/// A token that would span the seam ("=-" of "2-3=" and "-1") is so lost to the model: a task's delimiter avoids it.
/// With a context that is empty, or nothing but blanks, the continuation is encoded alone behind BOS (EOS where there
/// is no BOS). What is longer than `max_positions` inputs (0: any number) loses tokens on the left.
class PairEncoder {
 public:
  PairEncoder(const Tokenizer& tokenizer, int64_t max_positions, bool add_special)
      : tokenizer_(tokenizer), max_positions_(max_positions), add_special_(add_special) {}

  /// Error(kRefused) beginning with `place` when nothing would be scored, or more than the positions hold.
  ScoredTokens encode(const std::string& context, const std::string& continuation, const std::string& place);

 private:
  const std::vector<int32_t>& tokens_of(const std::string& context);

  const Tokenizer& tokenizer_;
  int64_t max_positions_;
  bool add_special_;
  std::string last_context_;  // an item's choices share theirs
  std::vector<int32_t> last_tokens_;
};

/// What belongs together: the requests of an item. Groups of the same cluster begin alike (the same shots).
struct RequestGroup {
  std::vector<ScoredTokens> requests;
  int64_t cluster = 0;
};

struct Likelihood {
  double log_likelihood = 0;  // sum over the scored tokens, nats
  int64_t tokens = 0;
  bool greedy = true;  // every scored token is the likeliest, the lowest id among equals
};

/// Tokens that a batch runs, but for what all of it shares (which is kept from batch to batch), and for a group that
/// alone has more: full-rate products, little memory.
inline constexpr int64_t kBatchTokens = 512;

/// Groups in the order in which they run, cut into batches: by cluster, in a cluster by the longest request, longest
/// first, so that memory and errors show at once.
struct Batch {
  std::vector<size_t> groups;
  int64_t tokens = 0;  // what requests share counted once
};
std::vector<Batch> plan_batches(std::span<const RequestGroup> groups);

/// [group][request]. Progress counts tokens run under `label`. Error(kFailed) naming `label` and the token for a logit
/// that is not finite; Error(kRefused) for a token outside the vocabulary.
std::vector<std::vector<Likelihood>> log_likelihoods(LogitsSource& model, std::span<const RequestGroup> groups,
                                                     const std::string& label, Context& context);

}  // namespace bitloom
