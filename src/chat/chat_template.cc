#include "chat/chat_template.h"

#include <algorithm>

#include "base/error.h"
#include "base/text/text.h"
#include "chat/jinja/interpreter.h"
#include "chat/jinja/parser.h"

namespace bitloom {

struct ChatTemplate::Program {
  jinja::Block block;
  std::string origin;
};

namespace {

std::tm local_time() {
  const std::time_t now = std::time(nullptr);
  std::tm time{};
  localtime_r(&now, &time);
  return time;
}

/// What a template computes with must be well-formed.
void check_utf8(const std::string& text, const std::string& origin, const std::string& what) {
  const size_t bad = first_invalid_utf8(text);
  if (bad < text.size()) refuse("{}: {} is no UTF-8 at byte {}", origin, what, bad);
}

jinja::Value message_value(const ChatMessage& message, const std::string& origin) {
  for (const std::string* text : {&message.role, &message.content}) check_utf8(*text, origin, "a message");
  return jinja::make_dict({{"role", message.role}, {"content", message.content}});
}

/// The variables that transformers' apply_chat_template passes.
std::vector<std::pair<std::string, jinja::Value>> variables(const std::vector<ChatMessage>& messages,
                                                            bool add_generation_prompt,
                                                            const std::map<std::string, std::string>& special_tokens,
                                                            const std::string& origin) {
  std::vector<jinja::Value> list;
  list.reserve(messages.size());
  for (const ChatMessage& message : messages) list.push_back(message_value(message, origin));
  std::vector<std::pair<std::string, jinja::Value>> values(special_tokens.begin(), special_tokens.end());
  values.emplace_back("messages", jinja::make_sequence(std::move(list)));
  values.emplace_back("tools", jinja::None{});
  values.emplace_back("documents", jinja::None{});
  values.emplace_back("add_generation_prompt", add_generation_prompt);
  return values;
}

}  // namespace

ChatTemplate::ChatTemplate(const std::string& text, const std::string& origin,
                           std::map<std::string, std::string> special_tokens)
    : program_(std::make_shared<const Program>(Program{jinja::parse_template(text, origin), origin})),
      special_tokens_(std::move(special_tokens)) {
  for (const auto& [name, token] : special_tokens_) check_utf8(token, origin, name);
}

std::string ChatTemplate::render(const std::vector<ChatMessage>& messages, bool add_generation_prompt) const {
  return jinja::render_template(program_->block, program_->origin,
                                variables(messages, add_generation_prompt, special_tokens_, program_->origin),
                                time_ ? *time_ : local_time());
}

bool ChatTemplate::accepts_system() const {
  const std::string probe = "bitloom asks whether this is rendered";
  try {
    return render({{"system", probe}, {"user", "x"}}).find(probe) != std::string::npos;
  } catch (const jinja::Raised&) {
    return false;
  }
}

std::vector<ChatMessage> ChatTemplate::with_system_folded(std::vector<ChatMessage> messages) const {
  if (messages.empty() || messages[0].role != "system" || accepts_system()) return messages;
  const std::string system = messages[0].content;
  messages.erase(messages.begin());
  const bool user_first = !messages.empty() && messages[0].role == "user";
  if (!user_first) {
    messages.insert(messages.begin(), {"user", system});
  } else if (!system.empty()) {
    messages[0].content = system + "\n\n" + messages[0].content;
  }
  return messages;
}

std::vector<int32_t> encode_chat(const Tokenizer& tokenizer, std::string_view rendered) {
  return tokenizer.encode(rendered, false);
}

std::tm evaluation_day() {
  std::tm day{};
  day.tm_year = 2024 - 1900, day.tm_mon = 6, day.tm_mday = 26, day.tm_wday = 5, day.tm_yday = 207;
  return day;
}

}  // namespace bitloom
