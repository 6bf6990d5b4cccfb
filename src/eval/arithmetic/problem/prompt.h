#pragma once
// A question with its shots as the model reads it.

#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "chat/chat_template.h"
#include "eval/arithmetic/problem/condition.h"
#include "tokenize/tokenizer.h"

namespace bitloom::arithmetic {

/// A model's chat template: the text of a conversation, up to where the assistant's next words begin, BOS included.
using ChatRenderer = std::function<std::string(const std::vector<ChatMessage>& messages)>;

struct Prompt {
  std::string text;
  std::vector<int32_t> ids;
  /// The tokens of the right reply after this prompt. None when the prompt's own tokens would be other ones with a
  /// reply behind it: then the model is asked to go on from a place that no shot has shown it.
  std::optional<std::vector<int32_t>> reply_ids;
};

class Prompter {
 public:
  /// With a chat template, messages as in the paper: system "You are a helpful assistant.", each shot a user's "A+B="
  /// and an assistant's "C". Without (an empty `chat`) lines "A+B=C\n", which the paper does not have.
  /// The tokenizer must outlive this.
  Prompter(const Tokenizer& tokenizer, ChatRenderer chat) : tokenizer_(tokenizer), chat_(std::move(chat)) {}

  bool is_chat() const { return static_cast<bool>(chat_); }
  const Tokenizer& tokenizer() const { return tokenizer_; }
  Prompt make(const Condition& condition, const Exercise& query, std::span<const Exercise> shots) const;

 private:
  std::string text_of(const Condition& condition, const Exercise& query, std::span<const Exercise> shots) const;
  const Tokenizer& tokenizer_;
  ChatRenderer chat_;
};

}  // namespace bitloom::arithmetic
