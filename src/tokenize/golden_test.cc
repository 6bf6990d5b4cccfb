// Identical ids and texts to the packages on a fixed list of strings.
#include <gtest/gtest.h>

#include <cstring>

#include "tokenize/golden_strings.h"
#include "tokenize/test_documents.h"

namespace bitloom {
namespace {

using testing::crc32;
using testing::crc32_of_ids;

// Compares every string and says the first few that differ.
void expect_golden(const Tokenizer& tokenizer, const std::string& name) {
  const std::vector<std::string> strings = testing::golden_strings();
  const std::vector<uint32_t> crcs = testing::golden_crcs(name);
  ASSERT_GE(strings.size(), 20000u);
  ASSERT_EQ(crcs.size(), 2 * strings.size());
  int wrong = 0;
  for (size_t i = 0; i < strings.size(); ++i) {
    const std::vector<int32_t> ids = tokenizer.encode(strings[i]);
    const std::string text = tokenizer.decode(ids);
    if (crc32_of_ids(ids) == crcs[2 * i] && crc32(text) == crcs[2 * i + 1]) continue;
    if (++wrong > 5) continue;
    ADD_FAILURE() << name << ": string " << i << " " << Json(strings[i]).dump() << ": "
                  << (crc32_of_ids(ids) == crcs[2 * i] ? "text " + Json(text).dump() : "ids " + testing::show(ids));
  }
  EXPECT_EQ(wrong, 0) << "of " << strings.size();
}

TEST(Golden, Demo) { expect_golden(Tokenizer::load("assets/demo"), "demo"); }

TEST(Golden, GptNeox) {
  BITLOOM_REQUIRE_SHARED("data/tokenizers/gpt-neox.json");
  const std::string path = testing::shared_path("data/tokenizers/gpt-neox.json");
  expect_golden(Tokenizer::from_json(read_json(path), path), "gpt-neox");
}

TEST(Golden, SmolLm2FromGguf) {
  BITLOOM_REQUIRE_SMOLLM2();
  const Tokenizer tokenizer = Tokenizer::from_gguf(GgufFile::open(testing::smollm2_path()));
  expect_golden(tokenizer, "smollm2");
  EXPECT_EQ(tokenizer.describe(), "GGUF gpt2 (smollm) byte-level BPE, 49152 tokens");
  EXPECT_EQ(tokenizer.bos_id(), 1);
  EXPECT_EQ(tokenizer.eos_id(), 2);
  EXPECT_FALSE(tokenizer.adds_bos());
}

TEST(Golden, Llama2Model) {
  BITLOOM_REQUIRE_SHARED("data/tokenizers/llama2/tokenizer.model");
  const testing::TempDir directory;
  std::filesystem::copy(testing::shared_path("data/tokenizers/llama2/tokenizer.model"), directory.path());
  expect_golden(Tokenizer::load(directory.path()), "llama2");
}

// llama2.c's file has the pieces and scores of tokenizer.model.
TEST(Golden, Llama2Bin) {
  BITLOOM_REQUIRE_SHARED("data/tokenizers/llama2/tokenizer.bin");
  const testing::TempDir directory;
  std::filesystem::copy(testing::shared_path("data/tokenizers/llama2/tokenizer.bin"), directory.path());
  expect_golden(Tokenizer::load(directory.path()), "llama2");
}

// The document is one that the tokenizers package reads, with its own numbering of the merges.
TEST(Golden, Llama2BinAsThePackageReadsIt) {
  BITLOOM_REQUIRE_SHARED("data/tokenizers/llama2/tokenizer.bin");
  const std::string path = testing::shared_path("data/tokenizers/llama2/tokenizer.bin");
  Json document = tokenizer_json_from_llama2c(path);
  document["model"].erase("merge_ranks");
  expect_golden(Tokenizer::from_json(document, path), "llama2-json");
}

// tests/oracle/tokenize_sentencepiece.py
TEST(Golden, ModelsOfSentencePiece) {
  const std::vector<std::string> strings = testing::golden_strings();
  for (const std::string name : {"spm_unigram", "spm_unigram_bytes", "spm_unigram_symbols", "spm_bpe_symbols",
                                 "spm_bpe_suffix", "spm_bpe_unused", "spm_word", "spm_char"}) {
    const Tokenizer tokenizer = Tokenizer::load(testing::golden("tokenize/" + name));
    const std::vector<uint32_t> crcs = testing::golden_crcs(name);
    ASSERT_EQ(crcs.size(), (strings.size() + 7) / 8);
    int wrong = 0;
    for (size_t i = 0; i < crcs.size() && wrong < 5; ++i) {
      const std::vector<int32_t> ids = tokenizer.encode(strings[8 * i]);
      const std::string text = tokenizer.decode(ids);
      if (crc32(text, crc32_of_ids(ids)) == crcs[i]) continue;
      ++wrong;
      ADD_FAILURE() << name << ": string " << 8 * i << " " << Json(strings[8 * i]).dump() << ": ids "
                    << testing::show(ids) << text;
    }
  }
}

TEST(Golden, BabyLlamaCharacters) {
  BITLOOM_REQUIRE_SHARED("models/babyllama-char");
  expect_golden(Tokenizer::load(testing::shared_path("models/babyllama-char")), "babyllama-char");
}

TEST(Golden, Stories260K) {
  BITLOOM_REQUIRE_SHARED("models/stories260K");
  expect_golden(Tokenizer::load(testing::shared_path("models/stories260K")), "stories260K");
}

// Small tokenizers of one golden file, on every `step`th string.
void expect_golden_set(const std::string& set, size_t step) {
  const std::vector<std::string> strings = testing::golden_strings();
  const std::vector<uint32_t> crcs = testing::golden_crcs(set);
  const Json file = testing::tokenizers_file(set);
  size_t at = 0;
  for (const auto& entry : file["tokenizers"].items()) {
    const std::string& name = entry.key();
    const Tokenizer tokenizer = Tokenizer::from_json(testing::assemble(file, name), name);
    int wrong = 0;
    for (size_t i = 0; i < strings.size(); i += step) {
      ASSERT_LT(at, crcs.size());
      const uint32_t expected = crcs[at++];
      const std::vector<int32_t> ids = tokenizer.encode(strings[i]);
      const std::string text = tokenizer.decode(ids);
      if (crc32(text, crc32_of_ids(ids)) == expected || ++wrong > 3) continue;
      ADD_FAILURE() << name << ": string " << i << " " << Json(strings[i]).dump() << ": ids " << testing::show(ids)
                    << " text " << Json(text).dump();
    }
    EXPECT_EQ(wrong, 0) << name;
  }
  EXPECT_EQ(at, crcs.size());
}

TEST(Golden, Synthetic) { expect_golden_set("synthetic", 4); }

// tests/oracle/tokenize_models.py
TEST(Golden, OtherModels) { expect_golden_set("models", 8); }

}  // namespace
}  // namespace bitloom
