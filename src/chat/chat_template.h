#pragma once
// Chat templates: a conversation as the text that an instruct model was trained on.
//
// Goals of this folder: what transformers' apply_chat_template renders, from the Jinja subset that chat templates use
// (docs/chat.md lists it), character for character; everything outside the subset is refused by name, never rendered
// wrongly. A template is a foreign file: time, memory and depth of a rendering are bounded.
// Non-goals: tools, documents and images; finding the template of a model (model/), generating (runtime/).

#include <ctime>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tokenize/tokenizer.h"

namespace bitloom {

struct ChatMessage {
  std::string role;  // "system", "user", "assistant"
  std::string content;
};

class ChatTemplate {
 public:
  /// `text` is Jinja; `origin` is for messages; `special_tokens` are the variables "bos_token", "eos_token", ...: those
  /// that the tokenizer has. Error(kRefused) names origin, line and construct.
  ChatTemplate(const std::string& text, const std::string& origin, std::map<std::string, std::string> special_tokens);

  /// The conversation as text, special tokens spelled out; `add_generation_prompt` adds what precedes an answer.
  /// Error(kRefused) names origin, line and what is wrong: a construct outside the subset, what the template itself
  /// raises ("roles must alternate"), a bound exceeded, or a message that is no valid UTF-8.
  std::string render(const std::vector<ChatMessage>& messages, bool add_generation_prompt = true) const;

  /// Whether a system message is rendered: neither refused nor left out.
  bool accepts_system() const;
  /// `messages` as this template can take them: where it has no system role, the system message is folded into the
  /// first user message ("SYSTEM\n\nUSER"), or becomes one. Then render() them.
  std::vector<ChatMessage> with_system_folded(std::vector<ChatMessage> messages) const;

  /// What strftime_now() tells: some templates write the date. Without it, the local time of the rendering; set it
  /// where the same messages must give the same text on any day.
  void set_time(const std::tm& time) { time_ = time; }

 private:
  struct Program;
  std::shared_ptr<const Program> program_;
  std::map<std::string, std::string> special_tokens_;
  std::optional<std::tm> time_;
};

/// Ids of a rendered conversation, by the rule of transformers: the template has written every special token that the
/// model expects, so special tokens in the text are recognised and none is added; BOS stands there once.
std::vector<int32_t> encode_chat(const Tokenizer& tokenizer, std::string_view rendered);

/// The day of every evaluation, where a template writes the date: 26 July 2024, a Friday.
std::tm evaluation_day();

}  // namespace bitloom
