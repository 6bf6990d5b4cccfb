#include "eval/tasks/chat_style.h"

namespace bitloom {

PromptStyle chat_style(ChatTemplate chat) {
  std::tm day{};
  day.tm_year = 2024 - 1900, day.tm_mon = 6, day.tm_mday = 26, day.tm_wday = 5, day.tm_yday = 207;
  chat.set_time(day);
  PromptStyle style;
  style.name = "chat", style.delimiter = false, style.add_special = false;
  style.render = [chat = std::move(chat)](const Question& question, const Task&) {
    std::vector<ChatMessage> messages;
    if (!question.preamble.empty()) messages.push_back({"system", question.preamble});
    for (const Shot& shot : question.shots) {
      messages.push_back({"user", shot.question});
      messages.push_back({"assistant", shot.answer});
    }
    messages.push_back({"user", question.text});
    return chat.render(chat.with_system_folded(std::move(messages)));
  };
  return style;
}

}  // namespace bitloom
