// run --chat: the template of a model, and what quantize makes of it.

#include <gtest/gtest.h>

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

}  // namespace
}  // namespace bitloom::testing
