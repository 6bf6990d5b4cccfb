// Where models keep their chat template.

#include <filesystem>

#include "base/test_data.h"
#include "io/ggml/gguf_test_bytes.h"
#include "model/checkpoint/checkpoint_loader.h"
#include "model/checkpoint/test_checkpoint.h"

namespace bitloom {
namespace {

using ::testing::ElementsAre;
using ::testing::EndsWith;
using testing::GgufBytes;
using ::testing::HasSubstr;
using testing::refusal;
using testing::TempDir;
using testing::write_file;

const std::vector<ChatMessage> kHello = {{"user", "Hello"}};

std::string rendered(const std::string& directory, const std::string& name = "default") {
  const auto chat = load_chat_template(directory, nullptr, name);
  return chat ? chat->render(kHello) : "none";
}

TEST(ChatTemplateOf, TokenizerConfig) {
  const TempDir dir;
  EXPECT_EQ(rendered(dir.path()), "none");
  write_file(dir.file("tokenizer_config.json"), R"({"chat_template": null})");
  EXPECT_EQ(rendered(dir.path()), "none");
  write_file(dir.file("tokenizer_config.json"),
             R"({"bos_token": "<s>", "eos_token": {"content": "</s>"}, "pad_token": null,
    "chat_template": "{{ bos_token }}{{ messages[0].content }}{{ eos_token }}{{ pad_token is defined }}"})");
  EXPECT_EQ(rendered(dir.path()), "<s>Hello</s>False");
}

TEST(ChatTemplateOf, SpecialTokensMapFillsWhatIsMissing) {
  const TempDir dir;
  write_file(dir.file("tokenizer_config.json"),
             R"({"bos_token": "<s>", "chat_template": "{{ bos_token }}{{ eos_token }}"})");
  write_file(dir.file("special_tokens_map.json"), R"({"bos_token": "<other>", "eos_token": "</s>"})");
  EXPECT_EQ(rendered(dir.path()), "<s></s>");
}

TEST(ChatTemplateOf, ItsOwnFileComesFirst) {
  const TempDir dir;
  write_file(dir.file("chat_template.json"), R"({"chat_template": "processor"})");
  EXPECT_EQ(rendered(dir.path()), "processor");
  write_file(dir.file("tokenizer_config.json"), R"({"bos_token": "<s>", "chat_template": "config"})");
  EXPECT_EQ(rendered(dir.path()), "config");
  write_file(dir.file("chat_template.jinja"), "{{ bos_token }}file\n");
  EXPECT_EQ(rendered(dir.path()), "<s>file");
}

TEST(ChatTemplateOf, SeveralByName) {
  const TempDir dir;
  write_file(dir.file("tokenizer_config.json"), R"({"chat_template": [
    {"name": "default", "template": "one"}, {"name": "tool_use", "template": "two {{ nothing.at.all }}"}]})");
  EXPECT_EQ(rendered(dir.path()), "one");
  const std::string origin = dir.file("tokenizer_config.json");
  EXPECT_EQ(refusal([&] { rendered(dir.path(), "tool_use"); }),
            origin + ": chat_template 'tool_use': line 1: 'nothing' is undefined, and so no attribute 'at'");
  EXPECT_EQ(refusal([&] { rendered(dir.path(), "rag"); }),
            origin + ": no chat template 'rag'; there are: default, tool_use");
}

TEST(ChatTemplateOf, BrokenFiles) {
  const TempDir dir;
  const std::string wrong =
      ": chat_template: expected a text, or a list of objects with the texts 'name' and 'template'";
  for (const char* value : {"5", "{}", R"([{"name": "default"}])", R"(["x"])", R"([{"name": 1, "template": "x"}])"}) {
    write_file(dir.file("tokenizer_config.json"), std::string(R"({"chat_template": )") + value + "}");
    EXPECT_THAT(refusal([&] { rendered(dir.path()); }), EndsWith(wrong)) << value;
  }
  write_file(dir.file("tokenizer_config.json"), "[]");
  EXPECT_THAT(refusal([&] { rendered(dir.path()); }), EndsWith("tokenizer_config.json: expected an object"));
  write_file(dir.file("tokenizer_config.json"), R"({"chat_template": "{% if %}"})");
  EXPECT_THAT(refusal([&] { rendered(dir.path()); }), HasSubstr("tokenizer_config.json: chat_template: line 1: "));
}

/// A file of metadata alone.
std::string gguf_with(const std::vector<std::pair<std::string, std::string>>& texts,
                      const std::vector<std::string>& names) {
  constexpr uint32_t kText = 8, kArray = 9;
  GgufBytes bytes(0, texts.size() + (names.empty() ? 0 : 1));
  for (const auto& [key, text] : texts) bytes.key(key, kText).text(text);
  if (names.empty()) return bytes.bytes();
  bytes.key("tokenizer.chat_templates", kArray).u32(kText).u64(names.size());
  for (const std::string& name : names) bytes.text(name);
  return bytes.bytes();
}

TEST(ChatTemplateOf, GgufKeys) {
  const TempDir dir;
  const std::string path = dir.file("model.gguf");
  const auto text = [&](const std::string& name) {
    const GgufFile file = GgufFile::open(path);
    const auto chat = load_chat_template(path, &file, name);
    return chat ? chat->render(kHello) : "none";
  };
  write_file(path, gguf_with({{"general.architecture", "llama"}}, {}));
  EXPECT_EQ(text("default"), "none");
  write_file(path, gguf_with({{"tokenizer.chat_template", "main"}}, {}));
  EXPECT_EQ(text("default"), "main");
  write_file(path,
             gguf_with({{"tokenizer.chat_template", "main"}, {"tokenizer.chat_template.rag", "second"}}, {"rag"}));
  EXPECT_EQ(text("default"), "main");
  EXPECT_EQ(text("rag"), "second");
  EXPECT_EQ(refusal([&] { text("tool"); }), path + ": no chat template 'tool'; there are: default, rag");
  write_file(path, gguf_with({{"tokenizer.chat_template", "main"}}, {"rag"}));
  EXPECT_THAT(refusal([&] { text("rag"); }), HasSubstr("tokenizer.chat_template.rag"));
}

TEST(ChatTemplateOf, ACheckpointWithout) {
  const TempDir dir;
  testing::TinyCheckpoint(testing::llama_config()).write(dir.path());
  EXPECT_EQ(refusal([&] { Checkpoint::open(dir.path())->chat_template(); }),
            dir.path() +
                ": no chat template (expected chat_template in tokenizer_config.json, or chat_template.jinja); "
                "it is a model for plain text");
}

// What a GGUF file's template renders, the files that an output directory gets from it render, too.
TEST(ChatTemplateOf, SmolLM2AndItsCompanionFiles) {
  BITLOOM_REQUIRE_SMOLLM2();
  const auto checkpoint = Checkpoint::open(testing::smollm2_path());
  const std::string text = checkpoint->chat_template().render(kHello);
  EXPECT_EQ(text,
            "<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n"
            "<|im_start|>user\nHello<|im_end|>\n<|im_start|>assistant\n");
  const TempDir dir;
  for (const auto& [name, bytes] : checkpoint->companion_files()) write_file(dir.file(name), bytes);
  EXPECT_EQ(rendered(dir.path()), text);
  const std::vector<int32_t> ids = encode_chat(checkpoint->tokenizer(), text);
  EXPECT_EQ(encode_chat(Tokenizer::load(dir.path()), text), ids);
  EXPECT_EQ(ids.front(), 1);  // <|im_start|>
}

}  // namespace
}  // namespace bitloom
