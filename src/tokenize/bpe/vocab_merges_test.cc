// vocab.json and merges.txt, against transformers (tests/oracle/tokenize_vocab.py), and refusals.
#include <gtest/gtest.h>

#include "base/test_data.h"
#include "tokenize/test_documents.h"

namespace bitloom {
namespace {

class VocabMerges : public ::testing::Test {
 protected:
  void write(const std::string& name, const std::string& text) const {
    testing::write_file(directory_.file(name), text);
  }
  void write(const std::string& name, const Json& content) const { write(name, content.dump()); }
  std::string file(const std::string& name) const { return directory_.file(name); }
  Tokenizer load() const { return Tokenizer::load(directory_.path()); }
  std::string load_error() const {
    return testing::message_of(ErrorKind::kRefused, [&] { load(); });
  }
  /// A vocabulary of the letters, "ab" and the end.
  void write_small() const {
    write("vocab.json", Json{{"a", 0}, {"b", 1}, {"ab", 2}, {"<|endoftext|>", 3}});
    write("merges.txt", std::string("#version: 0.2\na b\n"));
    write("tokenizer_config.json", Json{{"tokenizer_class", "GPT2Tokenizer"}});
  }

 private:
  testing::TempDir directory_;
};

TEST(VocabMergesGolden, TextsAreThoseOfTransformers) {
  const Json cases = Json::parse(read_text(testing::golden("tokenize/vocab_merges.json")));
  const Json model = testing::synthetic_file()["models"]["byte_level"];
  std::string merges = "#version: 0.2\n";
  for (const Json& pair : model["merges"])
    merges += pair[0].get<std::string>() + " " + pair[1].get<std::string>() + "\n";
  for (const Json& entry : cases) {
    SCOPED_TRACE(entry["name"].get<std::string>());
    const testing::TempDir directory;
    Json vocabulary = model["vocab"];
    const size_t first = vocabulary.size();
    for (size_t i = 0; i < entry["tokens"].size(); ++i) vocabulary[entry["tokens"][i].get<std::string>()] = first + i;
    testing::write_file(directory.file("vocab.json"), vocabulary.dump());
    testing::write_file(directory.file("merges.txt"), merges);
    for (const auto& [name, content] : entry["files"].items())
      testing::write_file(directory.file(name), content.dump());
    const Tokenizer tokenizer = Tokenizer::load(directory.path());
    EXPECT_EQ(tokenizer.bos_id().value_or(-1), entry["bos"].is_null() ? -1 : entry["bos"].get<int32_t>());
    EXPECT_EQ(tokenizer.eos_id().value_or(-1), entry["eos"].is_null() ? -1 : entry["eos"].get<int32_t>());
    ASSERT_GE(entry["texts"].size(), 10u);
    for (const Json& text : entry["texts"]) {
      const auto ids = text[1].get<std::vector<int32_t>>();
      EXPECT_EQ(tokenizer.encode(text[0].get<std::string>()), ids) << text[0];
      EXPECT_EQ(tokenizer.decode(ids), text[2].get<std::string>()) << text[0];
    }
  }
}

TEST_F(VocabMerges, LinesMayEndInCarriageReturns) {
  write_small();
  const auto expected = load().encode("abba");
  write("merges.txt", std::string("#version: 0.2\r\na b\r\n\r\n"));
  EXPECT_EQ(load().encode("abba"), expected);
  EXPECT_EQ(load().describe(), "vocab.json byte-level BPE, 4 tokens");
}

TEST_F(VocabMerges, RefusesMergesThatTheVocabularyContradicts) {
  write_small();
  const std::string path = file("merges.txt");
  for (const auto& [line, message] : std::map<std::string, std::string>{
           {"a c", ": line 3 needs the token 'c', which vocab.json lacks"},
           {"b a", ": line 3 needs the token 'ba', which vocab.json lacks"},
           {"ab", ": line 3 is 'ab', must be two tokens with one space between them"},
           {"a b a", ": line 3 is 'a b a', must be two tokens with one space between them"},
           {" a", ": line 3 needs the token '', which vocab.json lacks"},
           {"\xFF b", ": byte 18 is no valid UTF-8"}}) {
    write("merges.txt", "#version: 0.2\na b\n" + line + "\n");
    EXPECT_EQ(load_error(), path + message);
  }
}

TEST_F(VocabMerges, RefusesBrokenVocabularies) {
  write_small();
  write("vocab.json", Json::array({"a", "b", "ab"}));
  EXPECT_EQ(load_error(), file("vocab.json") + ": is no object of tokens and ids");
  write("vocab.json", Json{{"a", 0}, {"b", -1}, {"ab", 2}});
  EXPECT_EQ(load_error(), file("vocab.json") + ": model.vocab['b'] is -1, must be a token id");
  write("vocab.json", Json{{"a", 0}, {"b", 4294967296}, {"ab", 2}});
  EXPECT_EQ(load_error(), file("vocab.json") + ": model.vocab['b'] is 4294967296, must be below 2147483647");
  write("vocab.json", Json{{"a", 0}, {"b", 0}, {"ab", 2}});
  EXPECT_EQ(load_error(), file("vocab.json") + ": model.vocab gives id 0 to both 'a' and 'b'");
}

TEST_F(VocabMerges, RefusesUnknownClasses) {
  const std::string supported =
      "(supported: GPT2Tokenizer, CodeGenTokenizer, GPTNeoXTokenizer, Qwen2Tokenizer, RobertaTokenizer, "
      "BartTokenizer, LongformerTokenizer, LEDTokenizer)";
  write_small();
  write("tokenizer_config.json", Json{{"tokenizer_class", "CLIPTokenizer"}});
  EXPECT_EQ(load_error(),
            file("tokenizer_config.json") +
                ": tokenizer_class is 'CLIPTokenizer', which bitloom does not support with vocab.json and merges.txt " +
                supported);
  write("tokenizer_config.json", Json::object());
  EXPECT_EQ(load_error(), file("vocab.json") + ": how text is cut depends on tokenizer_class, which " +
                              file("tokenizer_config.json") + " lacks " + supported);
}

}  // namespace
}  // namespace bitloom
