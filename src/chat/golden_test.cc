// Against transformers (tests/oracle/chat_templates.py): real templates on many conversations, and one small template
// per construct.
#include <gtest/gtest.h>

#include <ctime>

#include "base/error.h"
#include "chat/chat_template.h"
#include "io/json.h"

namespace bitloom {
namespace {

std::vector<ChatMessage> messages_of(const Json& list) {
  std::vector<ChatMessage> messages;
  for (const Json& message : list) messages.push_back({message.at("role"), message.at("content")});
  return messages;
}

/// "2026-03-07 08:05:09"
std::tm time_of(const Json& text) {
  std::tm time{};
  strptime(text.get<std::string>().c_str(), "%Y-%m-%d %H:%M:%S", &time);
  return time;
}

/// What `render` returns as the golden files write it: the text, or only that it fails.
template <typename Render>
Json outcome(Render render, std::string* message) {
  try {
    return {{"text", render()}};
  } catch (const Error& error) {
    *message = error.what();
    return {{"fails", true}};
  }
}

ChatTemplate parsed(const std::string& text, const Json& tokens, const Json& time) {
  ChatTemplate chat(text, "golden", tokens.get<std::map<std::string, std::string>>());
  chat.set_time(time_of(time));
  return chat;
}

TEST(ChatGolden, Snippets) {
  const Json golden = read_json("tests/golden/chat/snippets.json");
  const std::vector<ChatMessage> messages = messages_of(golden.at("messages"));
  for (Json expected : golden.at("cases")) {
    const std::string text = expected.at("template");
    expected.erase("template");
    std::string message;
    const auto render = [&] { return parsed(text, golden.at("tokens"), golden.at("time")).render(messages); };
    EXPECT_EQ(outcome(render, &message), expected) << text << "\n" << message;
  }
}

TEST(ChatGolden, Templates) {
  const Json golden = read_json("tests/golden/chat/templates.json");
  for (const auto& [name, expected] : golden.at("templates").items()) {
    const std::string text = read_text("tests/golden/chat/templates/" + name + ".jinja");
    const ChatTemplate chat = parsed(text, expected.at("tokens"), golden.at("time"));
    for (size_t i = 0; i < golden.at("conversations").size(); ++i) {
      const std::vector<ChatMessage> messages = messages_of(golden.at("conversations")[i]);
      for (const bool prompt : {false, true}) {
        std::string message;
        EXPECT_EQ(outcome([&] { return chat.render(messages, prompt); }, &message), expected.at("cases")[i][prompt])
            << name << ", conversation " << i << "\n"
            << message;
      }
    }
  }
}

}  // namespace
}  // namespace bitloom
