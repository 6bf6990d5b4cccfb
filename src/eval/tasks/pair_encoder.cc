#include "base/error.h"
#include "eval/tasks/likelihoods.h"
#include "eval/tasks/unicode_blanks.h"

namespace bitloom {

ScoredTokens PairEncoder::encode(const std::string& context, const std::string& continuation,
                                 const std::string& place) {
  const size_t end = context.size() - trailing_blanks(context);
  const std::string head = context.substr(0, end), tail = context.substr(end) + continuation;
  ScoredTokens result;
  if (head.empty()) {
    result.tokens = tokenizer_.encode(tail, false);
    const auto start = tokenizer_.bos_id() ? tokenizer_.bos_id() : tokenizer_.eos_id();
    if (!start) refuse("{}: the context is empty, and the tokenizer has no BOS or EOS to start from", place);
    if (result.tokens.empty() || result.tokens[0] != *start) result.tokens.insert(result.tokens.begin(), *start);
    result.scored = static_cast<int64_t>(result.tokens.size()) - 1;
  } else {
    result.tokens = tokenizer_.encode(head + tail, add_special_);
    result.scored = static_cast<int64_t>(result.tokens.size()) - length_of(head);
  }
  if (result.scored < 1) refuse("{}: no token of its own is left of the continuation '{}'", place, continuation);
  if (max_positions_ == 0) return result;
  if (result.scored > max_positions_)
    refuse("{}: a continuation of {} tokens, the model's context is {}", place, result.scored, max_positions_);
  const int64_t surplus = static_cast<int64_t>(result.tokens.size()) - (max_positions_ + 1);
  if (surplus > 0) result.tokens.erase(result.tokens.begin(), result.tokens.begin() + surplus);
  return result;
}

int64_t PairEncoder::length_of(const std::string& context) {
  if (last_length_ < 0 || context != last_context_) {
    last_length_ = static_cast<int64_t>(tokenizer_.encode(context, add_special_).size());
    last_context_ = context;
  }
  return last_length_;
}

}  // namespace bitloom
