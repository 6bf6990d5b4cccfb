#include "eval/arithmetic/problem/prompt.h"

#include <algorithm>

namespace bitloom::arithmetic {

std::string Prompter::text_of(const Condition& condition, const Exercise& query,
                              std::span<const Exercise> shots) const {
  if (!chat_) {
    std::string text;
    for (const Exercise& shot : shots) text += question_of(shot, condition) + reply_of(shot, condition) + "\n";
    return text + question_of(query, condition);
  }
  std::vector<ChatMessage> messages = {{"system", "You are a helpful assistant."}};
  for (const Exercise& shot : shots) {
    messages.push_back({"user", question_of(shot, condition)});
    messages.push_back({"assistant", reply_of(shot, condition)});
  }
  messages.push_back({"user", question_of(query, condition)});
  return chat_(messages);
}

Prompt Prompter::make(const Condition& condition, const Exercise& query, std::span<const Exercise> shots) const {
  Prompt prompt;
  prompt.text = text_of(condition, query, shots);
  const bool add_special = !is_chat();  // a template writes its special tokens itself
  prompt.ids = tokenizer_.encode(prompt.text, add_special);
  const std::vector<int32_t> whole = tokenizer_.encode(prompt.text + reply_of(query, condition), add_special);
  const auto [end, differs] = std::mismatch(prompt.ids.begin(), prompt.ids.end(), whole.begin(), whole.end());
  if (end == prompt.ids.end()) prompt.reply_ids.emplace(differs, whole.end());
  return prompt;
}

}  // namespace bitloom::arithmetic
