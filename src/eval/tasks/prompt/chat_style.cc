#include "eval/tasks/prompt/chat_style.h"

namespace bitloom {

PromptStyle chat_style(ChatTemplate chat) {
  chat.set_time(evaluation_day());
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
