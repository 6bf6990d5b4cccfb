// Documents and files that are refused, with what the message says.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <limits>

#include "base/error.h"
#include "tokenize/test_documents.h"
#include "tokenize/tokenizer.h"

namespace bitloom {
namespace {

template <typename F>
void expect_refused(const std::string& message, F action) {
  try {
    action();
    ADD_FAILURE() << "accepted; expected: " << message;
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), ErrorKind::kRefused) << e.what();
    EXPECT_EQ(e.what(), message);
  }
}

// Puts `value` at `pointer` of the tiny document.
void expect_refused_with(const std::string& pointer, const Json& value, const std::string& message) {
  Json document = testing::tiny_document();
  document[Json::json_pointer(pointer)] = value;
  expect_refused("tokenizer.json: " + message, [&] { Tokenizer::from_json(document, "tokenizer.json"); });
}

TEST(Refusal, UnsupportedPartsAreNamedWithWhatIsSupported) {
  expect_refused_with("/normalizer/normalizers/0/type", "NFQ",
                      "normalizer.normalizers[0].type is 'NFQ', which bitloom does not support (supported: NFC, "
                      "NFD, NFKC, NFKD, Lowercase, StripAccents, Nmt, ByteLevel, BertNormalizer, "
                      "Precompiled, Strip, Prepend, Replace, Sequence)");
  expect_refused_with("/pre_tokenizer/pretokenizers/1", Json{{"type", "UnicodeScripts"}},
                      "pre_tokenizer.pretokenizers[1].type is 'UnicodeScripts', which bitloom does not support "
                      "(supported: ByteLevel, Split, Digits, Punctuation, Whitespace, WhitespaceSplit, Metaspace, "
                      "CharDelimiterSplit, BertPreTokenizer, Sequence)");
  expect_refused_with(
      "/model/type", "Trigram",
      "model.type is 'Trigram', which bitloom does not support (supported: BPE, Unigram, WordPiece, WordLevel)");
  expect_refused_with("/model/dropout", 0.1, "model.dropout is 0.1; only null and 0 are supported");
  expect_refused_with("/post_processor/type", "Magic",
                      "post_processor.type is 'Magic', which bitloom does not support (supported: TemplateProcessing, "
                      "ByteLevel, RobertaProcessing, BertProcessing, Sequence)");
  expect_refused_with("/decoder", Json{{"type", "CTC"}},
                      "decoder.type is 'CTC', which bitloom does not support (supported: ByteLevel, ByteFallback, "
                      "Fuse, Replace, Strip, Metaspace, BPEDecoder, WordPiece, Sequence)");
}

TEST(Refusal, BrokenVocabularies) {
  expect_refused_with("/model/vocab/a", 3, "model.vocab gives id 3 to both 'a' and 'b'");
  expect_refused_with("/model/vocab/a", -3, "model.vocab['a'] is -3, must be a token id");
  expect_refused_with("/model/vocab/a", 1.5, "model.vocab['a'] is 1.5, must be a token id");
  expect_refused_with("/model/vocab/a", 4294967296, "model.vocab['a'] is 4294967296, must be below 2147483647");
  expect_refused_with("/model/vocab", Json::array(), "model.vocab is no object of tokens and ids");
  expect_refused_with("/model", Json::object(), "model lacks the key 'vocab'");
}

TEST(Refusal, BrokenMerges) {
  expect_refused_with("/model/merges/1", "a c", "model.merges[1] names 'c', which is not in the vocabulary");
  expect_refused_with("/model/merges/1", "b a", "model.merges[1] names 'ba', which is not in the vocabulary");
  expect_refused_with("/model/merges/1", "a  b",
                      "model.merges[1] is 'a  b', must be two tokens with one space between them");
  expect_refused_with("/model/merges/1", Json::array({"a"}), "model.merges[1] has 1 parts, must be a pair");
  expect_refused_with("/model/merges/1", 7, "model.merges[1] is no string");
  expect_refused_with("/model/merge_ranks", Json::array({1}), "model.merge_ranks has 1 entries, merges has 3");
}

TEST(Refusal, BrokenAddedTokens) {
  expect_refused_with("/added_tokens/1/id", 7,
                      "added_tokens[1].id is 7 for the token '</s>', but the vocabulary makes it 1");
  expect_refused_with("/added_tokens/2", Json{{"id", 20}, {"content", "<x>"}},
                      "added_tokens[2].id is 20 for the token '<x>', but the vocabulary makes it 13");
  Json document = testing::tiny_document();
  document["normalizer"] = {{"type", "Lowercase"}};
  document["added_tokens"].push_back({{"id", 13}, {"content", "X"}, {"normalized", true}});
  document["added_tokens"].push_back({{"id", 14}, {"content", "x"}, {"normalized", true}});
  expect_refused("t: added_tokens has the token 'x' (id 14), which normalizes to 'x': empty or the same as another's",
                 [&] { Tokenizer::from_json(document, "t"); });
}

TEST(Refusal, BrokenParts) {
  expect_refused_with("/pre_tokenizer/pretokenizers/0/behavior", "Sideways",
                      "pre_tokenizer.pretokenizers[0].behavior is 'Sideways' (supported: Removed, Isolated, "
                      "MergedWithPrevious, MergedWithNext, Contiguous)");
  expect_refused_with("/pre_tokenizer/pretokenizers/0/pattern", Json{{"Regex", "[\\W]"}},
                      "pre_tokenizer.pretokenizers[0].pattern.Regex is the regex '[\\W]', which has '\\W' inside a "
                      "class, which bitloom does not support");
  expect_refused_with("/pre_tokenizer", Json{{"type", "Metaspace"}, {"replacement", "__"}},
                      "pre_tokenizer.replacement is '__', must be one character");
  expect_refused_with("/pre_tokenizer", Json{{"type", "Metaspace"}, {"replacement", "_"}, {"prepend_scheme", "last"}},
                      "pre_tokenizer.prepend_scheme is 'last' (supported: always, first, never)");
  expect_refused_with(
      "/pre_tokenizer",
      Json{{"type", "Metaspace"}, {"replacement", "_"}, {"prepend_scheme", "first"}, {"add_prefix_space", false}},
      "pre_tokenizer.prepend_scheme is 'first', but add_prefix_space is false");
  expect_refused_with("/post_processor/single/0/SpecialToken/id", "<t>",
                      "post_processor.single[0].SpecialToken.id is '<t>', which special_tokens lacks");
  expect_refused_with("/post_processor/single/1/Sequence/id", "B",
                      "post_processor.single[1].Sequence.id is 'B'; a single sequence has only 'A'");
  expect_refused_with("/normalizer", Json{{"type", "Replace"}, {"pattern", {{"String", ""}}}, {"content", "x"}},
                      "normalizer.pattern.String is empty");
}

TEST(Refusal, AnUnknownTokenThatIsMissingIsNamedWhenNeeded) {
  Json document = testing::tiny_document();
  document["model"]["unk_token"] = "<unk>";
  const Tokenizer tokenizer = Tokenizer::from_json(document, "t");
  EXPECT_EQ(tokenizer.encode("ab", false), (std::vector<int32_t>{5}));
  expect_refused("t: model: unk_token '<unk>' is not in the vocabulary", [&] { tokenizer.encode("x"); });
}

template <typename T>
std::string bytes_of(T value) {
  std::string bytes(sizeof(T), '\0');
  std::memcpy(bytes.data(), &value, sizeof(T));
  return bytes;
}

std::string record(float score, const std::string& token) {
  return bytes_of(score) + bytes_of(static_cast<int32_t>(token.size())) + token;
}

void expect_bin_refused(const std::string& content, const std::string& message) {
  const testing::TempDir directory;
  const std::string path = directory.file("tokenizer.bin");
  testing::write_file(path, content);
  expect_refused(path + message, [&] { tokenizer_json_from_llama2c(path); });
}

TEST(Refusal, BrokenLlama2cFiles) {
  const std::string start = bytes_of(int32_t{5}) + record(0, "<unk>") + record(0, "\n<s>\n") + record(0, "\n</s>\n");
  expect_bin_refused("", ": 0 bytes are too few for a tokenizer.bin");
  expect_bin_refused(bytes_of(int32_t{5}) + record(0, "<unk>"), ": 1 tokens, must be at least 3 (unknown, BOS, EOS)");
  expect_bin_refused(start + "abc", ": byte 44: token 3 is cut off");
  expect_bin_refused(start + bytes_of(1.f) + bytes_of(int32_t{2000000000}) + "x",
                     ": byte 44: token 3 claims 2000000000 bytes, 1 are left");
  expect_bin_refused(start + bytes_of(1.f) + bytes_of(int32_t{-1}), ": byte 44: token 3 claims -1 bytes, 0 are left");
  expect_bin_refused(start + record(0, "a") + record(0, "a"), ": tokens 3 and 4 are both 'a'");
  expect_bin_refused(start + record(0, "\xFF"), ": token 3 is not valid UTF-8");
  expect_bin_refused(start + record(std::numeric_limits<float>::infinity(), "a"), ": token 3 has the score inf");
  expect_bin_refused(start + record(0, std::string(1025, 'a')), ": token 3 is 1025 bytes long (at most 1024)");
}

Json unigram_document() {
  Json document = testing::tiny_document();
  document["normalizer"] = nullptr;
  document["pre_tokenizer"] = nullptr;
  document["model"] =
      Json::parse(R"({"type": "Unigram", "unk_id": 0, "vocab": [["<s>", 0], ["</s>", 0], ["a", -1.5], ["ab", -2]]})");
  return document;
}

TEST(Refusal, BrokenUnigramModels) {
  const auto refused = [](const std::string& pointer, const Json& value, const std::string& message) {
    Json document = unigram_document();
    document[Json::json_pointer(pointer)] = value;
    expect_refused("tokenizer.json: " + message, [&] { Tokenizer::from_json(document, "tokenizer.json"); });
  };
  refused("/model/vocab", Json::object(), "model.vocab is no array of tokens and scores");
  refused("/model/vocab", Json::array(), "model.vocab is empty");
  refused("/model/vocab/3", Json{"b"}, "model.vocab[3] must be a token and its score");
  refused("/model/vocab/3", Json{"b", "c"}, "model.vocab[3] must be a token and its score");
  refused("/model/vocab/3", Json{"b", std::numeric_limits<double>::infinity()}, "model.vocab[3] has the score inf");
  refused("/model/vocab/3", Json{std::string(1025, 'b'), 0}, "model.vocab[3] is a token of 1025 bytes (at most 1024)");
  refused("/model/unk_id", 4, "model.unk_id is 4, but the vocabulary has 4 tokens");
  refused("/model/unk_id", -1, "model.unk_id is -1, must be a token id");
  Json document = unigram_document();
  document["model"].erase("unk_id");
  const Tokenizer tokenizer = Tokenizer::from_json(document, "tokenizer.json");
  EXPECT_THAT(tokenizer.encode("aba", false), ::testing::ElementsAre(3, 2));
  expect_refused("tokenizer.json: model: no token for a character of the text, and no unk_id",
                 [&] { tokenizer.encode("ac"); });
}

// A double array of one unit, whose offset is 0, and what lies behind it.
TEST(Refusal, BrokenCharacterMaps) {
  const auto document = [](const std::string& map) {
    Json broken = testing::tiny_document();
    broken["normalizer"] = {{"type", "Precompiled"}, {"precompiled_charsmap", map}};
    return broken;
  };
  const auto refused = [&](const std::string& map, const std::string& message) {
    expect_refused("tokenizer.json: normalizer.precompiled_charsmap " + message,
                   [&] { Tokenizer::from_json(document(map), "tokenizer.json"); });
  };
  refused("AAA", "is no base64");
  refused("AAAA", "has 3 bytes, too few for a size");
  refused("AAAAAA==", "claims a trie of 0 bytes, 0 are left");
  refused("/P///wAAAAA=", "claims a trie of 4294967292 bytes, 4 are left");
  refused("BgAAAAAAAAAAAAAA", "claims a trie of 6 bytes, 8 are left");
  refused("BAAAAAAAAAD/", "has replacements that are no UTF-8");
  EXPECT_EQ(Tokenizer::from_json(document("BAAAAAAAAAA="), "x").encode("ab", false), std::vector<int32_t>{5});
  // The root's children begin at 96; 'a' (97) is unit 1, whose leaf is unit 0, which says byte 0x18000.
  const Tokenizer astray = Tokenizer::from_json(document("CAAAAACAAQBhBQAA"), "x");
  expect_refused("x: normalizer.precompiled_charsmap: its trie points to byte 98304 of 0 of replacements",
                 [&] { astray.encode("a"); });
}

TEST(Refusal, BrokenWordPieceModels) {
  Json document = unigram_document();
  document["model"] = {{"type", "WordPiece"},
                       {"unk_token", "[UNK]"},
                       {"continuing_subword_prefix", "##"},
                       {"max_input_chars_per_word", 100},
                       {"vocab", {{"<s>", 0}, {"</s>", 1}, {"a", 2}, {"##b", 3}}}};
  const auto refused = [&](const std::string& key, const Json& value, const std::string& message) {
    Json broken = document;
    if (value.is_null()) broken["model"].erase(key);
    if (!value.is_null()) broken["model"][key] = value;
    expect_refused("tokenizer.json: " + message, [&] { Tokenizer::from_json(broken, "tokenizer.json"); });
  };
  for (const char* key : {"unk_token", "continuing_subword_prefix", "max_input_chars_per_word", "vocab"})
    refused(key, nullptr, fmt::format("model lacks the key '{}'", key));
  refused("vocab", Json{{"<s>", 0}, {"</s>", 1}, {"a", 1}}, "model.vocab gives id 1 to both '</s>' and 'a'");
  refused("vocab", Json{{"<s>", 0}, {"</s>", 1}, {std::string(1025, 'a'), 2}},
          "model.vocab has a token (id 2) of 1025 bytes (at most 1024)");
  const Tokenizer tokenizer = Tokenizer::from_json(document, "tokenizer.json");
  EXPECT_THAT(tokenizer.encode("abb", false), ::testing::ElementsAre(2, 3, 3));
  expect_refused("tokenizer.json: model: unk_token '[UNK]' is not in the vocabulary", [&] { tokenizer.encode("b"); });
}

// A field of bytes, of any length below 16384.
std::string bytes_field(int number, const std::string& bytes) {
  const auto varint = [](size_t value) {
    return value < 128 ? std::string{static_cast<char>(value)}
                       : std::string{static_cast<char>(value % 128 + 128), static_cast<char>(value / 128)};
  };
  return varint(static_cast<size_t>(number) * 8 + 2) + varint(bytes.size()) + bytes;
}

// A piece: a message in field 1; its text in field 1, its type in field 3.
std::string piece_field(const std::string& text, int type) {
  return bytes_field(1, bytes_field(1, text) + "\x18" + static_cast<char>(type));
}

TEST(Refusal, BrokenSentencePieceModel) {
  const testing::TempDir directory;
  const std::string path = directory.file("tokenizer.model");
  const auto refused = [&](const std::string& bytes, const std::string& message) {
    testing::write_file(path, bytes);
    expect_refused(path + ": " + message, [&] { Tokenizer::load(directory.path()); });
  };
  const std::string unknown = piece_field("<unk>", 2);
  refused("no model", "byte 1: field 13 has the unknown wire type 6: no SentencePiece model");
  refused("\x0A\x20", "byte 2: 32 bytes are claimed, 0 are left: no SentencePiece model");
  refused(std::string(11, '\xFF'), "byte 10: a number of more than 10 bytes: no SentencePiece model");
  refused("", "has no pieces");
  refused(piece_field("a", 1), "no piece is the unknown one");
  refused(unknown + unknown, "pieces 0 and 1 are both '<unk>'");
  refused(unknown + piece_field("?", 2), "pieces 0 and 1 are both the unknown one");
  refused(unknown + piece_field("a", 1) + piece_field("a", 1), "pieces 1 and 2 are both 'a'");
  refused(unknown + piece_field("", 1), "piece 1 is empty");
  refused(unknown + piece_field("\xC3", 1), "piece 1 is not valid UTF-8");
  refused(unknown + piece_field("a", 7), "piece 1 has the type 7 (1 to 6)");
  refused(unknown + piece_field("<0x41>", 6), "byte piece 1 without byte fallback");
  refused(unknown + std::string("\x12\x03\x98\x02\x01"), "byte fallback without a piece '<0x00>'");
  refused(unknown + std::string("\x12\x02\x18\x05"),
          "trainer_spec.model_type is 5: must be 1 (unigram), 2 (BPE), 3 (word) or 4 (char)");
  refused(unknown + std::string("\x2A\x03\x12\x01x"), "denormalizer_spec.precompiled_charsmap is not supported");
  refused(unknown + std::string("\x1A\x03\x12\x01x"),
          "normalizer_spec.precompiled_charsmap has 1 bytes, too few for a size");
}

/// precompiled_charsmap: a trie and what replaces its strings.
std::string map_field(const std::vector<uint32_t>& units, const std::string& replacements) {
  std::string map = bytes_of(static_cast<uint32_t>(4 * units.size()));
  for (const uint32_t unit : units) map += bytes_of(unit);
  return bytes_field(3, bytes_field(2, map + replacements));
}

Tokenizer load_model(const testing::TempDir& directory, const std::string& bytes) {
  testing::write_file(directory.file("tokenizer.model"), bytes);
  return Tokenizer::load(directory.path());
}

TEST(Refusal, SentencePieceTextsThatAreTooLong) {
  const testing::TempDir directory;
  const std::string unknown = piece_field("<unk>", 2);
  const std::string longest(1024, 'a'), longer(1025, 'a'), end(1, '\0');
  const auto refused = [&](const std::string& more, const std::string& message) {
    expect_refused(directory.file("tokenizer.model") + ": " + message, [&] { load_model(directory, unknown + more); });
  };
  for (const int type : {1, 3, 4, 5}) {
    refused(piece_field(longer, type), "piece 1 is 1025 bytes long (at most 1024)");
    EXPECT_EQ(load_model(directory, unknown + piece_field(longest, type)).vocab_size(), 2);
  }
  refused(bytes_field(2, bytes_field(44, longer)), "trainer_spec.unk_surface is 1025 bytes long (at most 1024)");
  EXPECT_NO_THROW(load_model(directory, unknown + bytes_field(2, bytes_field(44, longest))));
  refused(map_field({0}, "x" + end + longer + end),
          "normalizer_spec.precompiled_charsmap has a replacement of 1025 bytes, at byte 2 (at most 1024)");
  refused(map_field({0}, longer),
          "normalizer_spec.precompiled_charsmap has a replacement of 1025 bytes, at byte 0 (at most 1024)");
  EXPECT_NO_THROW(load_model(directory, unknown + map_field({0}, longest + end + longest + end)));
}

// The map replaces the byte C3, with which U+00C0 to U+00FF begin; what is left of one is no character.
TEST(Refusal, AMapThatEndsInsideACharacterLeavesItWhole) {
  std::vector<uint32_t> units(0x400);
  units[0] = 0x100 << 10;
  units[0x1C3] = 0xC3 | 0x100 | 0x200 << 10;
  units[0x3C3] = 0x80000000;
  const std::string map = map_field(units, std::string("x\0", 2));
  const std::string pieces = piece_field("<unk>", 2) + piece_field("a", 1) + piece_field("x", 1) +
                             piece_field("\u00e4", 1) + piece_field("\u2581", 1);
  const testing::TempDir directory;
  for (const int kind : {1, 2, 3, 4}) {
    const Tokenizer tokenizer =
        load_model(directory, pieces + bytes_field(2, std::string("\x18") + static_cast<char>(kind)) + map);
    if (kind == 3) {  // words
      EXPECT_THAT(tokenizer.encode("\u00e4", false), ::testing::ElementsAre(0));
    } else {
      EXPECT_THAT(tokenizer.encode("a\u00e4", false), ::testing::ElementsAre(4, 1, 3)) << kind;
      EXPECT_THAT(tokenizer.encode("\u00e4", false), ::testing::ElementsAre(4, 3)) << kind;
    }
  }
}

}  // namespace
}  // namespace bitloom
