// run --chat and chat: the template of a model, what quantize makes of it, and conversations.

#include <gtest/gtest.h>
#include <poll.h>
#include <pty.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>

#include "broken_models.h"
#include "program.h"

namespace bitloom::testing {
namespace {

using nlohmann::json;

/// The demo with a chat template that has no system role.
class Chat : public ::testing::Test {
 protected:
  void SetUp() override {
    write_bytes(model_.file("chat_template.jinja"),
                "{{ bos_token }}{% for m in messages %}\n"
                "{% if m.role == 'system' %}{{ raise_exception('no system here') }}{% endif %}\n"
                "<{{ m.role }}> {{ m.content | trim }}\n"
                "{% endfor %}\n"
                "{% if add_generation_prompt %}<assistant>{% endif %}\n");
  }
  json run(const std::string& model, std::vector<std::string> more) const {
    more.insert(more.begin(), {"run", model, "-n", "1", "--temp", "0"});
    return run_json(more);
  }
  ModelCopy model_;
};

TEST_F(Chat, RendersTheTextAsAMessage) {
  const json record = run(model_.path(), {"--chat", "-p", " Hello "});
  EXPECT_EQ(record.at("chat"), true);
  EXPECT_EQ(record.at("prompt"), "<|begin_of_text|><user> Hello\n<assistant>");
  // BOS stands in the text, so none is added.
  EXPECT_EQ(record.at("prompt_ids"),
            run_json({"tokenize", "assets/demo", "--no-special", "-p", "<|begin_of_text|><user> Hello\n<assistant>"})
                .at("ids"));
  EXPECT_EQ(run(model_.path(), {"-p", "Hello"}).at("prompt"), "Hello");
}

TEST_F(Chat, FoldsASystemTextThatTheTemplateRefuses) {
  const Outcome outcome =
      run_bitloom({"run", model_.path(), "-n", "1", "--json", "--chat", "--system", "Be brief.", "-p", "Hello"});
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_EQ(json::parse(outcome.out).at("prompt"), "<|begin_of_text|><user> Be brief.\n\nHello\n<assistant>");
  EXPECT_NE(outcome.err.find("the chat template has no system message"), std::string::npos) << outcome.err;
}

TEST_F(Chat, AQuantizedModelKeepsItsTemplate) {
  const TempDir dir;
  run_json({"quantize", model_.path(), dir.file("out"), "--recipe", "int8-row"});
  EXPECT_EQ(run(dir.file("out"), {"--chat", "-p", "Hello"}).at("prompt"), "<|begin_of_text|><user> Hello\n<assistant>");
}

TEST_F(Chat, BadTemplatesAndNone) {
  expect_error(run_bitloom({"run", "assets/demo", "--chat", "-p", "Hello"}), 3,
               {"assets/demo: no chat template", "chat_template.jinja"});
  write_bytes(model_.file("chat_template.jinja"), "\n{% include 'x' %}");
  expect_error(run_bitloom({"run", model_.path(), "--chat", "-p", "Hello"}), 3,
               {model_.file("chat_template.jinja"), "line 2", "'include' is not supported"});
}

/// A conversation by lines of a pipe.
class Conversation : public Chat {
 protected:
  json talk(const std::string& lines, std::vector<std::string> more = {}) const {
    more.insert(more.begin(), {"chat", model_.path(), "-n", "6", "--temp", "0"});
    return run_json(more, lines);
  }
};

TEST_F(Conversation, KeepsItsHistory) {
  const json record = talk("Hello\n\nAnd then?\n");
  ASSERT_EQ(record.at("messages").size(), 4u);
  EXPECT_EQ(record.at("messages").at(0), json({{"role", "user"}, {"content", "Hello"}}));
  EXPECT_EQ(record.at("messages").at(1).at("role"), "assistant");
  EXPECT_EQ(record.at("messages").at(2).at("content"), "And then?");
  // The first answer is what run gives; the second prompt begins with the first one, which is not computed again.
  EXPECT_EQ(record.at("messages").at(1).at("content"),
            run_json({"run", model_.path(), "--chat", "-p", "Hello", "-n", "6", "--temp", "0"}).at("text"));
  const json& answers = record.at("answers");
  EXPECT_EQ(answers.at(0).at("kept_tokens"), 0);
  EXPECT_GE(answers.at(1).at("kept_tokens"), answers.at(0).at("prompt_tokens"));
}

TEST_F(Conversation, ResetForgetsAllButTheSystemMessage) {
  const json once = talk("Hello\n", {"--system", "Be brief."});
  const json reset = talk("Something else\n/reset\nHello\n", {"--system", "Be brief."});
  EXPECT_EQ(reset.at("messages"), once.at("messages"));
  EXPECT_EQ(once.at("messages").at(0).at("content"), "Be brief.");
}

TEST_F(Conversation, LinesGoOnAfterABackslashAndMayBeLong) {
  EXPECT_EQ(talk("one\\\ntwo\n").at("messages").at(0).at("content"), "one\ntwo");
  const std::string blanks(10000, ' ');
  EXPECT_EQ(talk("long" + blanks + "\n").at("messages").at(0).at("content"), "long" + blanks);
}

TEST_F(Conversation, Commands) {
  const TempDir dir;
  const Outcome outcome = run_bitloom({"chat", model_.path(), "-n", "4", "--temp", "0"},
                                      "/help\nHello\n/save " + dir.file("talk.json") + "\n/quit\nnever\n");
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_NE(outcome.err.find("/reset "), std::string::npos) << outcome.err;
  const json saved = json::parse(read_bytes(dir.file("talk.json")));
  EXPECT_EQ(saved.at("messages").size(), 2u);
  EXPECT_EQ(outcome.out, saved.at("messages").at(1).at("content").get<std::string>() + "\n");
}

TEST_F(Conversation, WhatCannotBeDoneIsNamed) {
  expect_error(run_bitloom({"chat", "assets/demo"}, "Hello\n"), 3, {"assets/demo: no chat template"});
  expect_error(run_bitloom({"chat", model_.path()}, "/sing\n"), 2, {"/sing is no command", "/reset"});
  expect_error(run_bitloom({"chat", model_.path()}, "/save\n"), 2, {"/save FILE"});
  std::string text;
  for (int i = 0; i < 300; ++i) text += " the";
  expect_error(run_bitloom({"chat", model_.path()}, text + "\n"), 3, {"the model's context is 256", "/reset"});
}

/// The program at a terminal of its own.
class Terminal {
 public:
  explicit Terminal(const std::string& model) {
    child_ = forkpty(&terminal_, nullptr, nullptr, nullptr);
    if (child_ != 0) return;
    execl(BITLOOM_PROGRAM, BITLOOM_PROGRAM, "chat", model.c_str(), "--temp", "5", "--top-k", "0", "--top-p", "1",
          "--min-p", "0", static_cast<char*>(nullptr));
    _exit(127);
  }
  ~Terminal() {
    kill(child_, SIGKILL);
    close(terminal_);
    waitpid(child_, nullptr, 0);
  }
  void type(const std::string& keys) const {
    ASSERT_EQ(write(terminal_, keys.data(), keys.size()), ssize_t(keys.size()));
  }
  /// Waits until the program has written `text`, and forgets all up to it.
  bool shows(const std::string& text) {
    while (seen_.find(text) == std::string::npos) {
      if (!read_more()) return false;
    }
    seen_.erase(0, seen_.find(text) + text.size());
    return true;
  }
  bool shows_anything() {
    while (seen_.empty()) {
      if (!read_more()) return false;
    }
    return true;
  }
  /// Its exit code, once it has ended.
  int wait() {
    while (read_more()) {
    }
    int status = 0;
    waitpid(child_, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  }

 private:
  bool read_more() {
    pollfd input = {terminal_, POLLIN, 0};
    char buffer[4096];
    if (poll(&input, 1, 60000) <= 0) return false;
    const ssize_t count = read(terminal_, buffer, sizeof buffer);
    if (count > 0) seen_.append(buffer, static_cast<size_t>(count));
    return count > 0;
  }
  int terminal_ = -1;
  pid_t child_ = -1;
  std::string seen_;
};

TEST_F(Conversation, AtATerminalCtrlCEndsTheAnswerAlone) {
  Terminal terminal(model_.path());
  ASSERT_TRUE(terminal.shows("> "));
  terminal.type("\x1b[200~one\rtwo\x1b[201~\r");  // pasted: not sent before Enter
  ASSERT_TRUE(terminal.shows("two\r"));
  ASSERT_TRUE(terminal.shows("\x1b[?2004l"));
  ASSERT_TRUE(terminal.shows_anything());  // of the answer: at this temperature it fills the context
  terminal.type("\x03");
  ASSERT_TRUE(terminal.shows("stopped: interrupted"));
  ASSERT_TRUE(terminal.shows("> "));
  terminal.type("/sing\r");
  ASSERT_TRUE(terminal.shows("/sing is no command"));
  ASSERT_TRUE(terminal.shows("> "));
  terminal.type("typed\x03");  // forgets what was typed
  ASSERT_TRUE(terminal.shows("> typed"));
  terminal.type("\x04");
  EXPECT_EQ(terminal.wait(), 0);
}

}  // namespace
}  // namespace bitloom::testing
