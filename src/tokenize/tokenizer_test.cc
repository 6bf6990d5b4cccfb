#include "tokenize/tokenizer.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>

#include "base/error.h"
#include "base/text/text.h"
#include "tokenize/golden_strings.h"
#include "tokenize/test_documents.h"

namespace bitloom {
namespace {

using ::testing::ElementsAre;
using testing::tiny_document;

Tokenizer tiny() { return Tokenizer::from_json(tiny_document(), "model/tokenizer.json"); }

TEST(Tokenizer, EncodesAndDecodes) {
  const Tokenizer tokenizer = tiny();
  EXPECT_THAT(tokenizer.encode("ab ab"), ElementsAre(0, 5, 7));
  EXPECT_THAT(tokenizer.encode("ab ab", false), ElementsAre(5, 7));
  EXPECT_THAT(tokenizer.encode("a</s>\u00E4", false), ElementsAre(2, 1, 8, 9));
  EXPECT_THAT(tokenizer.encode(""), ElementsAre(0));
  const std::vector<int32_t> ids = {0, 5, 7, 1};
  EXPECT_EQ(tokenizer.decode(ids), "ab ab");
  EXPECT_EQ(tokenizer.decode(ids, false), "<s>ab ab</s>");
  EXPECT_EQ(tokenizer.decode(std::vector<int32_t>{5, 99, -1, 5}), "abab");  // the package skips unknown ids too
}

TEST(Tokenizer, SaysWhatItIs) {
  const Tokenizer tokenizer = tiny();
  EXPECT_EQ(tokenizer.vocab_size(), 13);
  EXPECT_EQ(tokenizer.token_to_id("\u0120ab"), 7);
  EXPECT_EQ(tokenizer.token_to_id("</s>"), 1);
  EXPECT_EQ(tokenizer.token_to_id("zz"), std::nullopt);
  EXPECT_EQ(tokenizer.id_to_token(7), "\u0120ab");
  EXPECT_EQ(tokenizer.describe(), "tokenizer.json byte-level BPE, 13 tokens");
  EXPECT_EQ(tokenizer.bos_id(), 0);
  EXPECT_EQ(tokenizer.eos_id(), std::nullopt);
  EXPECT_TRUE(tokenizer.adds_bos());
}

TEST(Tokenizer, HashIsTheDefinitions) {
  EXPECT_EQ(tiny().hash(), tiny().hash());
  EXPECT_EQ(tiny().hash().size(), 64u);
  Json other = tiny_document();
  other["model"]["merges"] = Json::array({"a b", "Ġ ab", "Ġ a"});
  EXPECT_NE(Tokenizer::from_json(other, "x").hash(), tiny().hash());
}

template <typename F>
void expect_error(ErrorKind kind, const std::string& message, F action) {
  try {
    action();
    ADD_FAILURE() << "no error; expected: " << message;
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), kind) << e.what();
    EXPECT_EQ(e.what(), message);
  }
}

TEST(Tokenizer, RefusesIllFormedTextAndUnknownIds) {
  const Tokenizer tokenizer = tiny();
  expect_error(ErrorKind::kRefused, "text to tokenize: byte 2 is not valid UTF-8", [&] { tokenizer.encode("ab\xC3"); });
  expect_error(ErrorKind::kUsage, "model/tokenizer.json: no token has id 13 (ids go from 0 to 12)",
               [&] { tokenizer.id_to_token(13); });
  expect_error(ErrorKind::kUsage, "model/tokenizer.json: no token has id -1 (ids go from 0 to 12)",
               [&] { tokenizer.id_to_token(-1); });
}

TEST(Tokenizer, EncodesInSeveralThreads) {
  const Tokenizer tokenizer = Tokenizer::load("assets/demo");
  const std::string text = read_text("assets/demo/evaluation.txt").substr(0, 60000);
  const std::vector<int32_t> expected = tokenizer.encode(text);
  std::vector<std::vector<int32_t>> results(4);
  std::vector<std::thread> threads;
  threads.reserve(results.size());
  for (auto& result : results) threads.emplace_back([&tokenizer, &text, &result] { result = tokenizer.encode(text); });
  for (std::thread& thread : threads) thread.join();
  for (const auto& result : results) EXPECT_EQ(result, expected);
  EXPECT_EQ(tokenizer.decode(expected), text);
}

// Pieces of a megabyte: quadratic work would take minutes.
TEST(Tokenizer, LongPiecesTakeNoLongTime) {
  std::string text;
  for (int i = 0; i < 500000; ++i) text += i % 7 ? "ab" : "ba";
  const Tokenizer tokenizer = tiny();
  const std::vector<int32_t> ids = tokenizer.encode(text);
  EXPECT_EQ(tokenizer.decode(ids), text);
  EXPECT_EQ(tokenizer.encode(std::string(1000000, ' ')).size(), 1000001u);
}

// The library alone would take hours: its time is quadratic in the length of a run of unknown characters.
void expect_no_long_time_for_unknown_runs(const Tokenizer& tokenizer) {
  for (const std::string unknown : {"\n", "\u4E2D", "\u4E2D\n\u3042", "\u2126"}) {
    const auto ids_of_run = [&](size_t times) {
      std::string text = "a b";
      for (size_t i = 0; i < times; ++i) text += unknown;
      return tokenizer.encode(text + " c");
    };
    EXPECT_EQ(ids_of_run(8000000 / unknown.size()), ids_of_run(60 / unknown.size())) << unknown;
  }
}

TEST(Tokenizer, LongUnknownRunsTakeNoLongTime) {
  BITLOOM_REQUIRE_SHARED("models/babyllama-char");
  expect_no_long_time_for_unknown_runs(Tokenizer::load(testing::shared_path("models/babyllama-char")));
}

// Its normalizer makes another unknown character of the last.
TEST(Tokenizer, LongUnknownRunsTakeNoLongTimeInUnigramModels) {
  expect_no_long_time_for_unknown_runs(Tokenizer::load(testing::golden("tokenize/spm_unigram")));
}

// Encodes long runs of what is hard for some stage; quadratic work in any would take minutes.
void expect_no_long_time(const Tokenizer& tokenizer, const std::string& name, size_t bytes) {
  for (const std::string run : {" ",
                                "\n",
                                "\r\n",
                                "a",
                                "a'",
                                "aA",
                                "1",
                                "!",
                                "'",
                                "\u0301",
                                "\u0301\u0323",
                                "\u0F73",
                                "\uFF9E\u0334",
                                "\u0958",
                                "\u2126",
                                "\u4E2D",
                                "\u2581",
                                "\U0001F600",
                                "\U0001F469\u200D",
                                "\u1100\u1161"}) {
    std::string text = "x";
    while (text.size() < bytes) text += run;
    EXPECT_FALSE(tokenizer.encode(text + "y").empty()) << name << run;
  }
}

TEST(Tokenizer, LongRunsTakeNoLongTime) {
  for (const char* set : {"synthetic", "models"}) {
    const Json file = testing::tokenizers_file(set);
    for (const auto& entry : file["tokenizers"].items())
      expect_no_long_time(Tokenizer::from_json(testing::assemble(file, entry.key()), entry.key()), entry.key(), 60000);
  }
}

TEST(Tokenizer, LongRunsTakeNoLongTimeInSentencePieceModels) {
  for (const char* name : {"tokenize/spm", "tokenize/spm_unigram", "tokenize/spm_unigram_bytes"})
    expect_no_long_time(Tokenizer::load(testing::golden(name)), name, 60000);
}

TEST(Tokenizer, LongRunsTakeNoLongTimeInRealTokenizers) {
  BITLOOM_REQUIRE_SHARED("data/tokenizers/gpt-neox.json");
  const testing::TempDir neox, model, bin;
  std::filesystem::copy(testing::shared_path("data/tokenizers/gpt-neox.json"), neox.file("tokenizer.json"));
  std::filesystem::copy(testing::shared_path("data/tokenizers/llama2/tokenizer.model"), model.path());
  std::filesystem::copy(testing::shared_path("data/tokenizers/llama2/tokenizer.bin"), bin.path());
  for (const std::string& directory :
       {neox.path(), model.path(), bin.path(), testing::shared_path("models/babyllama-char"),
        testing::shared_path("models/stories260K"), testing::shared_path("models/english-3m")})
    expect_no_long_time(Tokenizer::load(directory), directory, 300000);
}

// Cutting a whole text where no merge reaches must not change its ids: the same with a merge that spoils the cutting.
TEST(Tokenizer, CuttingWholeTextsChangesNothing) {
  const Json document = testing::synthetic("llama2");
  Json uncut = document;
  uncut["model"]["vocab"]["<0x00><0x00>"] = document["model"]["vocab"].size();
  uncut["model"]["merges"].push_back(Json::array({"<0x00>", "<0x00>"}));
  const Tokenizer one = Tokenizer::from_json(document, "cut");
  const Tokenizer other = Tokenizer::from_json(uncut, "uncut");
  std::string text;
  for (const std::string& part : testing::golden_strings()) text += part.find('\0') == part.npos ? part : "";
  EXPECT_EQ(one.encode(text), other.encode(text));
}

std::string streamed(const Tokenizer& tokenizer, const std::vector<int32_t>& ids) {
  Tokenizer::Stream stream(tokenizer);
  std::string text;
  for (const int32_t id : ids) {
    const std::string part = stream.push(id);
    EXPECT_EQ(first_invalid_utf8(part), part.size());
    text += part;
  }
  return text + stream.finish();
}

TEST(Stream, GivesWhatDecodeGivesInWholeCharacters) {
  for (const char* name : {"llama3", "llama2", "metaspace-always", "gpt2-prefix-space", "gemma"}) {
    const Tokenizer tokenizer = Tokenizer::from_json(testing::synthetic(name), name);
    const std::vector<std::string> strings = testing::golden_strings();
    for (size_t i = 0; i < strings.size(); i += 16) {
      if (strings[i].find("\uFFFD") != std::string::npos) continue;
      const std::vector<int32_t> ids = tokenizer.encode(strings[i]);
      ASSERT_EQ(streamed(tokenizer, ids), tokenizer.decode(ids)) << name << " " << i;
    }
  }
}

// Cut anywhere: what a stream primed with the ids before the cut gives is the rest of the whole text. SentencePiece
// decoders drop a text's first space, and the ids after the cut begin no text.
TEST(Stream, ContinuesWhatStandsBefore) {
  for (const char* name : {"llama3", "llama2", "metaspace-always", "gpt2-prefix-space", "gemma"}) {
    const Tokenizer tokenizer = Tokenizer::from_json(testing::synthetic(name), name);
    const std::string text = "the cat and the dog  and a  song";
    const std::vector<int32_t> ids = tokenizer.encode(text);
    const std::string whole = tokenizer.decode(ids);
    for (size_t cut = 0; cut < ids.size(); ++cut) {
      const std::span<const int32_t> all = ids;
      const std::string before = tokenizer.decode(all.first(cut));
      Tokenizer::Stream stream(tokenizer, true, all.first(cut));
      std::string rest;
      for (const int32_t id : all.subspan(cut)) rest += stream.push(id);
      rest += stream.finish();
      EXPECT_EQ(before + rest, whole) << name << " " << cut;
    }
  }
}

// Bytes all the way: the context that a long prompt leaves begins inside a character.
TEST(Stream, ContinuesCharactersOfSingleBytes) {
  const Tokenizer tokenizer = Tokenizer::from_json(testing::synthetic("llama2"), "llama2");
  for (const std::string character : {"\u12ED", "\u00FE", "\U0001F9EC"}) {
    std::string text;
    for (int i = 0; i < 40; ++i) text += character;
    const std::vector<int32_t> ids = tokenizer.encode(text, false);
    ASSERT_GE(ids.size(), 40 * character.size()) << "not of bytes";
    const std::span<const int32_t> all = ids;
    for (size_t cut = 0; cut < 40; ++cut) {
      const size_t prompt = ids.size() - (40 - cut) * character.size();
      Tokenizer::Stream stream(tokenizer, true, all.first(prompt));
      std::string rest;
      for (const int32_t id : all.subspan(prompt)) rest += stream.push(id);
      EXPECT_EQ(rest + stream.finish(), text.substr(cut * character.size())) << character << " " << cut;
    }
  }
}

TEST(Stream, WaitsForTheRestOfACharacter) {
  const Tokenizer tokenizer = tiny();
  Tokenizer::Stream stream(tokenizer);
  EXPECT_EQ(stream.push(2), "a");
  EXPECT_EQ(stream.push(10), "");  // E2 82 AC, the euro sign
  EXPECT_EQ(stream.push(11), "");
  EXPECT_EQ(stream.push(12), "\u20AC");
  EXPECT_EQ(stream.push(0), "");  // special
  EXPECT_EQ(stream.push(7), " ab");
  EXPECT_EQ(stream.push(10), "");
  EXPECT_EQ(stream.finish(), "\uFFFD");
  EXPECT_EQ(stream.finish(), "");
}

TEST(Stream, DoesNotWaitForEver) {
  const Tokenizer tokenizer = tiny();
  Tokenizer::Stream stream(tokenizer);
  std::string text;
  for (int i = 0; i < 1000; ++i) text += stream.push(12);
  EXPECT_GT(text.size(), 2900u);
  EXPECT_EQ(text + stream.finish(), tokenizer.decode(std::vector<int32_t>(1000, 12)));
}

class Directory : public ::testing::Test {
 protected:
  void SetUp() override { write("tokenizer.json", tiny_document()); }
  void write(const std::string& name, const Json& content) const {
    testing::write_file(directory_.file(name), content.dump());
  }
  std::string file(const std::string& name) const { return directory_.file(name); }
  Tokenizer load() const { return Tokenizer::load(directory_.path()); }

 private:
  testing::TempDir directory_;
};

TEST_F(Directory, SpecialTokensComeFromTheFirstFileThatNamesThem) {
  EXPECT_EQ(load().bos_id(), 0);  // the post-processor's
  EXPECT_EQ(load().eos_id(), std::nullopt);
  write("generation_config.json", {{"eos_token_id", {5, 6}}});
  EXPECT_EQ(load().eos_id(), 5);
  write("config.json", {{"bos_token_id", 2}, {"eos_token_id", 3}});
  EXPECT_EQ(load().bos_id(), 2);
  EXPECT_EQ(load().eos_id(), 3);
  EXPECT_FALSE(load().adds_bos());
  write("special_tokens_map.json", {{"bos_token", {{"content", "<s>"}}}, {"eos_token", "a"}});
  EXPECT_EQ(load().bos_id(), 0);
  EXPECT_EQ(load().eos_id(), 2);
  EXPECT_TRUE(load().adds_bos());
  write("tokenizer_config.json", {{"bos_token", nullptr}, {"eos_token", "</s>"}});
  EXPECT_EQ(load().bos_id(), std::nullopt);
  EXPECT_EQ(load().eos_id(), 1);
}

// As in transformers 5.
TEST_F(Directory, FlagsOfTheConfigDoNotContradictATemplate) {
  write("tokenizer_config.json",
        {{"bos_token", "<s>"}, {"eos_token", "</s>"}, {"add_bos_token", false}, {"add_eos_token", true}});
  EXPECT_TRUE(load().adds_bos());
  EXPECT_THAT(load().encode("a"), ElementsAre(0, 2));
}

/// llama2.c's: the longest token's length, then per token its score, its length and its bytes.
std::string llama2c_file(const std::vector<std::string>& tokens) {
  const auto word = [](uint32_t value) { return std::string(reinterpret_cast<const char*>(&value), 4); };
  std::string bytes = word(8);
  for (const std::string& token : tokens) bytes += word(0) + word(static_cast<uint32_t>(token.size())) + token;
  return bytes;
}

TEST(TokenizerBin, FlagsOfTheConfigDecideWhatStandsAround) {
  const testing::TempDir dir;
  std::vector<std::string> tokens = {"<unk>", "\n<s>\n", "\n</s>\n"};
  for (int i = 0; i < 256; ++i) tokens.push_back(fmt::format("<0x{:02X}>", i));
  tokens.insert(tokens.end(), {" ", "a"});
  testing::write_file(dir.file("tokenizer.bin"), llama2c_file(tokens));
  const auto encoded = [&](const Json& config) {
    testing::write_file(dir.file("tokenizer_config.json"), config.dump());
    return Tokenizer::load(dir.path()).encode("a");
  };
  EXPECT_THAT(encoded(Json::object()), ElementsAre(1, 259, 260));
  EXPECT_THAT(encoded({{"add_eos_token", false}}), ElementsAre(1, 259, 260));
  EXPECT_THAT(encoded({{"add_eos_token", true}}), ElementsAre(1, 259, 260, 2));
  EXPECT_THAT(encoded({{"add_bos_token", false}}), ElementsAre(259, 260));
  EXPECT_THAT(encoded({{"add_bos_token", false}, {"add_eos_token", true}}), ElementsAre(259, 260, 2));
}

TEST_F(Directory, RefusesContradictions) {
  write("config.json", {{"eos_token_id", 13}});
  expect_error(ErrorKind::kRefused, file("config.json") + ": eos_token_id is 13, but the tokenizer has only 13 tokens",
               [&] { load(); });
  write("tokenizer_config.json", {{"eos_token", "<end>"}});
  expect_error(ErrorKind::kRefused,
               file("tokenizer_config.json") + ": eos_token is '<end>', which is not in the vocabulary",
               [&] { load(); });
  const testing::TempDir empty;
  expect_error(
      ErrorKind::kRefused,
      empty.path() +
          ": no tokenizer (expected tokenizer.json, tokenizer.model, tokenizer.bin, vocab.json or tekken.json)",
      [&] { Tokenizer::load(empty.path()); });
}

TEST(Tokenizer, DemoIsWhatItsConfigSays) {
  const Tokenizer tokenizer = Tokenizer::load("assets/demo");
  EXPECT_EQ(tokenizer.vocab_size(), 4096);
  EXPECT_EQ(tokenizer.bos_id(), 0);
  EXPECT_EQ(tokenizer.eos_id(), 1);
  EXPECT_TRUE(tokenizer.adds_bos());
  EXPECT_EQ(tokenizer.describe(), "tokenizer.json byte-level BPE, 4096 tokens");
}

}  // namespace
}  // namespace bitloom
