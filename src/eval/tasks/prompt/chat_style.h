#pragma once
// Prompts as conversations, for models that were trained on them.

#include "chat/chat_template.h"
#include "eval/tasks/items.h"

namespace bitloom {

/// The preamble as system message, every shot as a user's and an assistant's turn, the item as the user's last; then
/// what the template puts before an answer. The continuation follows without the task's delimiter. Templates that write
/// the date are told 26 July 2024, so that a task is the same on any day.
PromptStyle chat_style(ChatTemplate chat);

}  // namespace bitloom
