// tekken.json, against transformers (tests/oracle/tokenize_tekken.py), and refusals.
#include <gtest/gtest.h>

#include "base/test_data.h"
#include "tokenize/golden_strings.h"

namespace bitloom {
namespace {

TEST(TekkenGolden, IdsAndTextsAreThoseOfTransformers) {
  const Tokenizer tokenizer = Tokenizer::load(testing::golden("tokenize/tekken"));
  const std::vector<std::string> strings = testing::golden_strings();
  const std::vector<uint32_t> crcs = testing::golden_crcs("tekken");
  ASSERT_EQ(crcs.size(), (strings.size() + 7) / 8);
  for (size_t i = 0; i < crcs.size(); ++i) {
    const std::vector<int32_t> ids = tokenizer.encode(strings[8 * i], false);
    EXPECT_EQ(testing::crc32(tokenizer.decode(ids), testing::crc32_of_ids(ids)), crcs[i])
        << Json(strings[8 * i]) << " " << testing::show(ids);
  }
}

class Tekken : public ::testing::Test {
 protected:
  static Json small() {
    return Json::parse(R"({"config": {"pattern": "\\w+|\\W", "default_num_special_tokens": 3},
      "vocab": [{"rank": 0, "token_bytes": "YQ=="}, {"rank": 1, "token_bytes": "Yg=="}, {"rank": 2, "token_bytes": "YWI="},
                {"rank": 3, "token_bytes": "YWJhYg=="}],
      "special_tokens": [{"rank": 1, "token_str": "<s>"}, {"rank": 0, "token_str": "<unk>"}]})");
  }
  Tokenizer load(const Json& content) const {
    testing::write_file(directory_.file("tekken.json"), content.dump());
    return Tokenizer::load(directory_.path());
  }
  void expect_refused(const char* pointer, const Json& value, const std::string& message) const {
    Json content = small();
    content[Json::json_pointer(pointer)] = value;
    EXPECT_EQ(testing::message_of(ErrorKind::kRefused, [&] { load(content); }),
              directory_.file("tekken.json") + ": " + message);
  }

 private:
  testing::TempDir directory_;
};

TEST_F(Tekken, BeginsWithBosAndNumbersBehindTheSpecialTokens) {
  const Tokenizer tokenizer = load(small());
  EXPECT_EQ(tokenizer.encode("ababab"), (std::vector<int32_t>{1, 6, 5}));
  EXPECT_EQ(tokenizer.encode("<s>a<SPECIAL_2>", false), (std::vector<int32_t>{1, 3, 2}));
  EXPECT_EQ(tokenizer.bos_id(), 1);
  EXPECT_EQ(tokenizer.vocab_size(), 7);
  EXPECT_EQ(tokenizer.describe(), "tekken.json byte-level BPE, 7 tokens");
}

TEST_F(Tekken, TheVocabularyMayBeCut) {
  Json content = small();
  content["config"]["default_vocab_size"] = 6;
  EXPECT_EQ(load(content).encode("abab", false), (std::vector<int32_t>{5, 5}));
}

TEST_F(Tekken, RefusesWhatItContradictsItself) {
  expect_refused("/vocab/1/rank", 0, "vocab[1].rank is 0, as vocab[0].rank is");
  expect_refused("/vocab/1/rank", 4, "vocab[1].rank is 4, must be below the number of entries, 4");
  expect_refused("/vocab/1/rank", 2147483648, "vocab[1].rank is 2147483648, must be below 2147483647");
  expect_refused("/vocab/1/rank", -1, "vocab[1].rank is -1, must be a token id");
  expect_refused("/vocab/1/token_bytes", "Y", "vocab[1].token_bytes is 'Y', must be base64 of one byte or more");
  expect_refused("/vocab/1/token_bytes", "", "vocab[1].token_bytes is '', must be base64 of one byte or more");
  expect_refused("/vocab/1/token_bytes", std::string(1368, 'A'), "vocab[1].token_bytes has 1026 bytes (at most 1024)");
  expect_refused("/vocab/1/token_bytes", "YQ==", "vocab has the same bytes at the ranks 0 and 1");
  expect_refused("/special_tokens/1/token_str", "<s>", "special_tokens has '<s>' twice");
  expect_refused("/special_tokens/1/rank", 1, "special_tokens[1].rank is 1, as special_tokens[0].rank is");
  expect_refused("/config/default_num_special_tokens", 1,
                 "config.default_num_special_tokens is 1, but special_tokens has 2");
  expect_refused("/config/default_num_special_tokens", 2000000000,
                 "config.default_num_special_tokens is 2000000000, more than the 4 tokens of vocab");
  expect_refused("/config/default_vocab_size", 2, "config.default_vocab_size is 2, less than the 3 special tokens");
  expect_refused("/config/pattern", 1, "config.pattern is no string");
  expect_refused("/special_tokens", nullptr, "special_tokens is no array");
}

}  // namespace
}  // namespace bitloom
