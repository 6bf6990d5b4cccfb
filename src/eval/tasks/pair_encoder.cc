#include <algorithm>

#include "base/error.h"
#include "eval/tasks/likelihoods.h"
#include "eval/tasks/prompt/unicode_blanks.h"

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
    const std::vector<int32_t>& of_head = tokens_of(head);
    result.tokens = tokenizer_.encode(head + tail, add_special_);
    result.scored = static_cast<int64_t>(result.tokens.size()) - static_cast<int64_t>(of_head.size());
    std::copy_n(of_head.begin(), std::min(of_head.size(), result.tokens.size()), result.tokens.begin());
  }
  if (result.scored < 1) refuse("{}: no token of its own is left of the continuation '{}'", place, continuation);
  if (max_positions_ == 0) return result;
  if (result.scored > max_positions_)
    refuse("{}: a continuation of {} tokens, the model's context is {}", place, result.scored, max_positions_);
  const int64_t surplus = static_cast<int64_t>(result.tokens.size()) - (max_positions_ + 1);
  if (surplus > 0) result.tokens.erase(result.tokens.begin(), result.tokens.begin() + surplus);
  return result;
}

const std::vector<int32_t>& PairEncoder::tokens_of(const std::string& context) {
  if (last_tokens_.empty() || context != last_context_) {
    last_tokens_ = tokenizer_.encode(context, add_special_);
    last_context_ = context;
  }
  return last_tokens_;
}

}  // namespace bitloom
