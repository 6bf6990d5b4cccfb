// Tokens that files beside a tokenizer add, against transformers (tests/oracle/tokenize_beside.py), and refusals.
#include "tokenize/added_beside.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/test_data.h"
#include "tokenize/test_documents.h"

namespace bitloom {
namespace {

using ::testing::ElementsAre;

void write_beside(const testing::TempDir& directory, const Json& files) {
  for (const auto& [name, content] : files.items()) testing::write_file(directory.file(name), content.dump());
}

TEST(AddedBeside, TextsAreThoseOfTransformers) {
  const Json entries = Json::parse(read_text(testing::golden("tokenize/beside.json")));
  for (const Json& entry : entries) {
    const testing::TempDir directory;
    const bool spm = entry["tokenizer"] == "spm";
    std::filesystem::copy(spm ? testing::golden("tokenize/spm/tokenizer.model") : "assets/demo/tokenizer.json",
                          directory.path());
    write_beside(directory, entry["files"]);
    const Tokenizer tokenizer = Tokenizer::load(directory.path());
    ASSERT_GE(entry["texts"].size(), 10u);
    for (const Json& text : entry["texts"]) {
      const auto ids = text[1].get<std::vector<int32_t>>();
      EXPECT_EQ(tokenizer.encode(text[0].get<std::string>()), ids) << entry["name"] << " " << text[0];
      EXPECT_EQ(tokenizer.decode(ids), text[2].get<std::string>()) << entry["name"] << " " << text[0];
    }
  }
}

class Beside : public ::testing::Test {
 protected:
  void SetUp() override { write("tokenizer.json", testing::tiny_document()); }
  void write(const std::string& name, const Json& content) const {
    testing::write_file(directory_.file(name), content.dump());
  }
  std::string load_error() const {
    return testing::message_of(ErrorKind::kRefused, [&] { Tokenizer::load(directory_.path()); });
  }
  Tokenizer load() const { return Tokenizer::load(directory_.path()); }
  std::string file(const std::string& name) const { return directory_.file(name); }

 private:
  testing::TempDir directory_;
};

TEST_F(Beside, AnAddedTokenCanEndTexts) {
  write("tokenizer_config.json", {{"eos_token", "<end>"}});
  write("added_tokens.json", {{"<end>", 13}});
  EXPECT_EQ(load().eos_id(), 13);
  EXPECT_EQ(load().vocab_size(), 14);
  EXPECT_EQ(load().base_vocab_size(), 13);
  EXPECT_THAT(load().encode("ab<end>"), ElementsAre(0, 5, 13));
}

// Results carry the definition's hash, so naming what is there already must not change it.
TEST_F(Beside, TheHashIsTheDefinitions) {
  const std::string hash = load().hash();
  write("tokenizer_config.json",
        {{"bos_token", "<s>"},
         {"eos_token", "</s>"},
         {"added_tokens_decoder",
          {{"1", {{"content", "</s>"}, {"special", true}, {"normalized", false}, {"lstrip", false}}}}}});
  EXPECT_EQ(load().hash(), hash);
  write("tokenizer_config.json", {{"pad_token", "<pad>"}});
  EXPECT_NE(load().hash(), hash);
}

TEST_F(Beside, RefusesIdsThatTheVocabularyContradicts) {
  write("added_tokens.json", {{"<end>", 20}});
  EXPECT_EQ(load_error(), file("added_tokens.json") +
                              ": the document gives the new token '<end>' the id 20, but the vocabulary and the tokens "
                              "before it make it 13");
  write("tokenizer_config.json", {{"added_tokens_decoder", {{"x", {{"content", "<end>"}}}}}});
  EXPECT_EQ(load_error(), file("tokenizer_config.json") + ": added_tokens_decoder has the key 'x', must be a token id");
  write("tokenizer_config.json", {{"added_tokens_decoder", {{"2", {{"content", "<end>"}}}}}});
  EXPECT_EQ(load_error(), file("tokenizer_config.json") +
                              ": added_tokens_decoder gives the new token '<end>' the id 2, but the vocabulary and the "
                              "tokens before it make it 13");
  write("tokenizer_config.json", {{"added_tokens_decoder", Json::array()}});
  EXPECT_EQ(load_error(), file("tokenizer_config.json") + ": added_tokens_decoder is no object");
}

}  // namespace
}  // namespace bitloom
