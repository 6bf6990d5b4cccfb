#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>

#include "base/error.h"
#include "io/mapped_file.h"
#include "tokenize/golden_strings.h"
#include "tokenize/test_documents.h"
#include "tokenize/tokenizer.h"

namespace bitloom {
namespace {

using ::testing::ElementsAre;

// Writes the metadata of a GGUF v3 file without tensors.
class GgufWriter {
 public:
  GgufWriter& text(const std::string& key, const std::string& value) { return entry(key, 8, string(value)); }
  GgufWriter& integer(const std::string& key, uint32_t value) { return entry(key, 4, raw(value)); }
  GgufWriter& flag(const std::string& key, bool value) { return entry(key, 7, std::string(1, value ? 1 : 0)); }
  GgufWriter& texts(const std::string& key, const std::vector<std::string>& values) {
    std::string items;
    for (const std::string& value : values) items += string(value);
    return array(key, 8, values.size(), items);
  }
  template <typename T>
  GgufWriter& numbers(const std::string& key, uint32_t type, const std::vector<T>& values) {
    std::string items;
    for (const T value : values) items += raw(value);
    return array(key, type, values.size(), items);
  }

  GgufFile open() const {
    const std::string path = directory_.file("model.gguf");
    testing::write_file(path,
                        "GGUF" + raw(uint32_t{3}) + raw(uint64_t{0}) + raw(count_) + body_ + std::string(64, '\0'));
    return GgufFile::open(path);
  }
  std::string path() const { return directory_.file("model.gguf"); }

 private:
  template <typename T>
  static std::string raw(T value) {
    std::string bytes(sizeof(T), '\0');
    std::memcpy(bytes.data(), &value, sizeof(T));
    return bytes;
  }
  static std::string string(const std::string& value) { return raw(uint64_t{value.size()}) + value; }
  GgufWriter& array(const std::string& key, uint32_t type, size_t count, const std::string& items) {
    return entry(key, 9, raw(type) + raw(uint64_t{count}) + items);
  }
  GgufWriter& entry(const std::string& key, uint32_t type, const std::string& value) {
    body_ += string(key) + raw(type) + value;
    ++count_;
    return *this;
  }

  testing::TempDir directory_;
  std::string body_;
  uint64_t count_ = 0;
};

// The keys of a gpt2 tokenizer with the vocabulary of a tokenizer.json's model; token 0 is control.
void write_bpe(GgufWriter& writer, const Json& model, const std::string& pre) {
  std::vector<std::string> tokens(model["vocab"].size());
  for (const auto& [token, id] : model["vocab"].items()) tokens[id.get<size_t>()] = token;
  std::vector<std::string> merges;
  for (const Json& merge : model["merges"])
    merges.push_back(merge[0].get<std::string>() + " " + merge[1].get<std::string>());
  std::vector<int32_t> types(tokens.size(), 1);
  types[0] = 3;
  writer.text("general.architecture", "llama").text("tokenizer.ggml.model", "gpt2").text("tokenizer.ggml.pre", pre);
  writer.texts("tokenizer.ggml.tokens", tokens).texts("tokenizer.ggml.merges", merges);
  writer.numbers("tokenizer.ggml.token_type", 5, types).integer("tokenizer.ggml.bos_token_id", 0);
}

// The names of tokenizer.ggml.pre against the tokenizers of the golden file, which are the package's.
TEST(GgufTokenizer, PreNamesCutAsTheModelsOwnTokenizers) {
  const Json file = testing::synthetic_file();
  const std::pair<const char*, const char*> pairs[] = {
      {"gpt-2", "gpt2"},  {"phi-2", "gpt2"},         {"llama-bpe", "llama3"},      {"llama3", "llama3"},
      {"qwen2", "qwen2"}, {"smollm", "digits-gpt2"}, {"starcoder", "digits-gpt2"}, {"gpt-4o", "gpt4o"}};
  const std::vector<std::string> strings = testing::golden_strings();
  for (const auto& [pre, name] : pairs) {
    GgufWriter writer;
    write_bpe(writer, file["models"]["byte_level"], pre);
    const Tokenizer ours = Tokenizer::from_gguf(writer.open());
    const Tokenizer golden = Tokenizer::from_json(testing::assemble(file, name), name);
    for (size_t i = 0; i < strings.size(); i += 8)
      ASSERT_EQ(ours.encode(strings[i]), golden.encode(strings[i])) << pre << " " << i;
  }
}

// tests/oracle/tokenize_gguf.py
TEST(GgufTokenizer, PreNamesCutAsThePackageDoes) {
  const Json file = testing::synthetic_file();
  const Json golden = read_json(testing::golden("tokenize/gguf_pre.json"));
  const std::vector<std::string> strings = testing::golden_strings();
  ASSERT_GE(golden.size(), 15u);
  for (const auto& [pre, crcs] : golden.items()) {
    GgufWriter writer;
    write_bpe(writer, file["models"]["byte_level"], pre);
    const Tokenizer tokenizer = Tokenizer::from_gguf(writer.open());
    ASSERT_EQ(crcs.size(), (strings.size() + 31) / 32);
    for (size_t i = 0; i < crcs.size(); ++i) {
      const std::vector<int32_t> ids = tokenizer.encode(strings[32 * i]);
      EXPECT_EQ(testing::crc32_of_ids(ids), crcs[i].get<uint32_t>())
          << pre << ": " << Json(strings[32 * i]).dump() << ": " << testing::show(ids);
    }
  }
}

TEST(GgufTokenizer, FlagsOfTheFileDecide) {
  const Json model = testing::synthetic_file()["models"]["byte_level"];
  GgufWriter writer;
  write_bpe(writer, model, "llama-bpe");
  writer.integer("tokenizer.ggml.eos_token_id", 1);
  writer.flag("tokenizer.ggml.add_bos_token", false).flag("tokenizer.ggml.add_eos_token", true);
  const Tokenizer tokenizer = Tokenizer::from_gguf(writer.open());
  EXPECT_FALSE(tokenizer.adds_bos());
  EXPECT_EQ(tokenizer.bos_id(), 0);
  EXPECT_EQ(tokenizer.eos_id(), 1);
  EXPECT_EQ(tokenizer.encode("").back(), 1);
}

struct Spm {
  std::vector<std::string> tokens = {"<unk>", "<s>", "</s>", "\u2581", "a", "b", "\u2581a", "ab", "<tool>"};
  std::vector<float> scores = {0, 0, 0, -9, -8, -7, -2, -1, 0};
  std::vector<int32_t> types = {2, 3, 3, 1, 1, 1, 1, 1, 4};

  void write(GgufWriter& writer) const {
    writer.text("general.architecture", "llama").text("tokenizer.ggml.model", "llama");
    writer.texts("tokenizer.ggml.tokens", tokens).numbers("tokenizer.ggml.scores", 6, scores);
    writer.numbers("tokenizer.ggml.token_type", 5, types);
    writer.integer("tokenizer.ggml.bos_token_id", 1).integer("tokenizer.ggml.eos_token_id", 2);
  }
};

TEST(GgufTokenizer, SentencePieceWithDefaults) {
  GgufWriter writer;
  Spm().write(writer);
  const Tokenizer tokenizer = Tokenizer::from_gguf(writer.open());
  EXPECT_TRUE(tokenizer.adds_bos());
  EXPECT_EQ(tokenizer.describe(), "GGUF llama BPE, 9 tokens");
  // "ab" scores highest; a space goes before the text and behind every token taken out of it.
  EXPECT_THAT(tokenizer.encode("ab a"), ElementsAre(1, 3, 7, 6));
  EXPECT_THAT(tokenizer.encode("a<tool>b</s>"), ElementsAre(1, 6, 8, 3, 5, 2));
  EXPECT_THAT(tokenizer.encode("xy"), ElementsAre(1, 3, 0));  // unknown characters fuse
  EXPECT_EQ(tokenizer.decode(std::vector<int32_t>{1, 3, 7, 6, 8}), "ab a<tool>");
}

TEST(GgufTokenizer, SentencePieceWithoutPrefix) {
  GgufWriter writer;
  Spm().write(writer);
  writer.flag("tokenizer.ggml.add_space_prefix", false).flag("tokenizer.ggml.add_bos_token", false);
  writer.flag("tokenizer.ggml.add_eos_token", true);
  const Tokenizer tokenizer = Tokenizer::from_gguf(writer.open());
  EXPECT_THAT(tokenizer.encode("ab a"), ElementsAre(7, 6, 2));
  EXPECT_EQ(tokenizer.decode(std::vector<int32_t>{6, 6}), " a a");
}

// llama2.c's vocabulary written as a GGUF file must give the same ids.
TEST(GgufTokenizer, SentencePieceIsLlama2c) {
  BITLOOM_REQUIRE_SHARED("models/stories260K");
  const std::string path = testing::shared_path("models/stories260K/tokenizer.bin");
  const auto file = MappedFile::open(path);
  const auto* data = reinterpret_cast<const char*>(file->bytes().data());
  Spm spm{{}, {}, {}};
  for (size_t at = 4; at < file->bytes().size();) {
    float score;
    int32_t length;
    std::memcpy(&score, data + at, 4);
    std::memcpy(&length, data + at + 4, 4);
    std::string token(data + at + 8, static_cast<size_t>(length));
    for (size_t space; (space = token.find(' ')) != std::string::npos;) token.replace(space, 1, "\u2581");
    const size_t id = spm.tokens.size();
    spm.tokens.push_back(id == 1 ? "<s>" : id == 2 ? "</s>" : token);
    spm.scores.push_back(score);
    spm.types.push_back(id == 0 ? 2 : id < 3 ? 3 : id < 259 ? 6 : 1);
    at += 8 + static_cast<size_t>(length);
  }
  GgufWriter writer;
  spm.write(writer);
  const Tokenizer ours = Tokenizer::from_gguf(writer.open());
  const std::vector<std::string> strings = testing::golden_strings();
  const std::vector<uint32_t> crcs = testing::golden_crcs("stories260K");
  for (size_t i = 0; i < strings.size(); ++i)
    ASSERT_EQ(testing::crc32_of_ids(ours.encode(strings[i])), crcs[2 * i]) << i;
}

void expect_refused(const GgufWriter& writer, const std::string& message) {
  const GgufFile file = writer.open();
  try {
    Tokenizer::from_gguf(file);
    ADD_FAILURE() << "accepted; expected: " << message;
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), ErrorKind::kRefused);
    EXPECT_THAT(e.what(), ::testing::StartsWith(writer.path() + ": " + message));
  }
}

TEST(GgufTokenizer, RefusesWhatItDoesNotKnow) {
  const Json model = testing::synthetic_file()["models"]["byte_level"];
  GgufWriter pre;
  write_bpe(pre, model, "qwen9");
  expect_refused(
      pre, "tokenizer.ggml.pre is 'qwen9', which bitloom does not support (supported: default, gpt-2, gpt-neox, ");
  GgufWriter kind;
  kind.text("tokenizer.ggml.model", "bert");
  expect_refused(kind, "tokenizer.ggml.model is 'bert', which bitloom does not support (supported: gpt2, llama)");
}

TEST(GgufTokenizer, RefusesInconsistentKeys) {
  const auto refused = [](const auto& change, const std::string& message) {
    Spm spm;
    GgufWriter writer;
    change(spm, writer);
    spm.write(writer);
    expect_refused(writer, message);
  };
  refused([](Spm& s, GgufWriter&) { s.scores.pop_back(); },
          "tokenizer.ggml.scores has 8 entries, tokenizer.ggml.tokens has 9");
  refused([](Spm& s, GgufWriter&) { s.types.pop_back(); },
          "tokenizer.ggml.token_type has 8 entries, tokenizer.ggml.tokens has 9");
  refused([](Spm& s, GgufWriter&) { s.types[4] = 7; }, "tokenizer.ggml.token_type[4] is 7 (1 to 6)");
  refused([](Spm& s, GgufWriter&) { s.tokens[5] = "a"; }, "tokenizer.ggml.tokens: tokens 4 and 5 are both 'a'");
  refused([](Spm& s, GgufWriter&) { s.tokens[5] = "\xC3"; }, "tokenizer.ggml.tokens: token 5 is not valid UTF-8");
  GgufWriter bos;
  bos.text("tokenizer.ggml.model", "llama")
      .texts("tokenizer.ggml.tokens", {"a"})
      .numbers<float>("tokenizer.ggml.scores", 6, {0});
  bos.integer("tokenizer.ggml.bos_token_id", 1);
  expect_refused(bos, "tokenizer.ggml.bos_token_id is 1, must be below the number of tokens, 1");
  GgufWriter flag;
  flag.text("tokenizer.ggml.model", "llama")
      .texts("tokenizer.ggml.tokens", {"a"})
      .numbers<float>("tokenizer.ggml.scores", 6, {0});
  flag.flag("tokenizer.ggml.add_bos_token", true);
  expect_refused(flag, "tokenizer.ggml.add_bos_token is true, but tokenizer.ggml.bos_token_id is absent");
}

}  // namespace
}  // namespace bitloom
