// Mutated tokenizers: refused or usable, never a crash. Fixed seeds, so a failure repeats.
#include <gtest/gtest.h>

#include <random>

#include "base/error.h"
#include "tokenize/golden_strings.h"
#include "tokenize/test_documents.h"
#include "tokenize/tokenizer.h"

namespace bitloom {
namespace {

using Random = std::mt19937;

size_t below(Random& random, size_t limit) { return random() % limit; }

const std::vector<std::string>& texts() {
  static const std::vector<std::string> kTexts = {
      "",      "ab ab<s>a</s>",       " \u00E4 a\u0301b\n\n12  ", "<0x41>\u2581a\u20AC\U0001F600",
      "aaaaa", std::string("a\0b", 3)};
  return kTexts;
}

void use(const Tokenizer& tokenizer) {
  std::vector<int32_t> all;
  for (const std::string& text : texts()) {
    const std::vector<int32_t> ids = tokenizer.encode(text);
    all.insert(all.end(), ids.begin(), ids.end());
    tokenizer.decode(ids, false);
  }
  Tokenizer::Stream stream(tokenizer);
  for (const int32_t id : all) stream.push(id);
  stream.finish();
  for (const int32_t id : {-1, 0, 5, 1 << 30}) tokenizer.decode(std::vector<int32_t>{id, id});
}

// Returns whether the tokenizer was accepted; any exception but ours fails the test.
template <typename F>
bool try_use(F load) {
  try {
    use(load());
    return true;
  } catch (const Error&) {
    return false;
  }
}

Json random_value(Random& random) {
  static const Json kValues = Json::parse(
      R"([null, true, false, 0, -1, 3, 12, 4294967295, 1e300, "", "a", "NFC", "Sequence", "\u2581", "(", "\\s+|.",)"
      R"( "[^\\S]", "x*", "Regex", {}, [], ["a", "b"], "Metaspace", "ByteLevel", "Strip"])");
  return kValues[below(random, kValues.size())];
}

// Replaces, removes or doubles something at a random place.
void mutate(Json& node, Random& random) {
  if (node.empty() || !node.is_structured() || below(random, 6) == 0) {
    node = random_value(random);
    return;
  }
  auto child = node.begin();
  std::advance(child, static_cast<std::ptrdiff_t>(below(random, node.size())));
  if (below(random, 12) == 0) {
    node.erase(child);
  } else if (node.is_array() && below(random, 12) == 0) {
    const Json copy = *child;
    node.push_back(copy);
  } else {
    mutate(*child, random);
  }
}

TEST(Fuzz, StructurallyMutatedDocuments) {
  Random random(7);
  std::vector<Json> seeds = {testing::tiny_document()};
  Json spm = testing::tiny_document();
  spm["normalizer"] = Json::parse(R"({"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": "▁"},
    {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}, {"type": "Strip", "strip_left": true, "strip_right": false}]})");
  spm["pre_tokenizer"] =
      Json::parse(R"({"type": "Metaspace", "replacement": "▁", "prepend_scheme": "first", "split": true})");
  spm["decoder"] =
      Json::parse(R"({"type": "Sequence", "decoders": [{"type": "Replace", "pattern": {"Regex": "▁"}, "content": " "},
    {"type": "ByteFallback"}, {"type": "Fuse"}, {"type": "Strip", "content": " ", "start": 1, "stop": 1}]})");
  spm["model"]["byte_fallback"] = true;
  spm["model"]["unk_token"] = "<s>";
  seeds.push_back(spm);
  Json unigram = spm;
  unigram["model"] = Json::parse(R"({"type": "Unigram", "unk_id": 0, "byte_fallback": true, "vocab": [["<s>", 0],
    ["</s>", 0], ["a", -1.5], ["ab", -2], ["▁", -3], ["<0x41>", 0], ["▁ab", -2.5]]})");
  seeds.push_back(unigram);
  Json words = testing::tiny_document();
  words["pre_tokenizer"] = {{"type", "Whitespace"}};
  words["model"] = Json::parse(R"({"type": "WordPiece", "unk_token": "<s>", "continuing_subword_prefix": "##",
    "max_input_chars_per_word": 12, "vocab": {"<s>": 0, "</s>": 1, "a": 2, "##b": 3, "ab": 4}})");
  seeds.push_back(words);
  int accepted = 0;
  const int rounds = 6000;
  for (int round = 0; round < rounds; ++round) {
    Json document = seeds[static_cast<size_t>(round) % seeds.size()];
    for (size_t n = 1 + below(random, 3); n > 0; --n) mutate(document, random);
    accepted += try_use([&] { return Tokenizer::from_json(document, "fuzz"); });
  }
  // Both ways out are taken, or the mutations are of no use.
  EXPECT_GT(accepted, rounds / 50);
  EXPECT_LT(accepted, rounds * 9 / 10);
}

std::string mutated_bytes(std::string bytes, Random& random) {
  for (size_t n = 1 + below(random, 4); n > 0 && !bytes.empty(); --n) {
    const size_t at = below(random, bytes.size());
    switch (below(random, 4)) {
      case 0:
        bytes[at] = static_cast<char>(random());
        break;
      case 1:
        bytes.erase(at, 1 + below(random, 9));
        break;
      case 2:
        bytes.insert(at, bytes.substr(below(random, bytes.size()), 1 + below(random, 9)));
        break;
      default:
        bytes[at] = static_cast<char>(bytes[at] ^ (1 << below(random, 8)));
        break;
    }
  }
  return bytes;
}

TEST(Fuzz, MutatedJsonBytes) {
  Random random(8);
  const std::string bytes = testing::tiny_document().dump();
  for (int round = 0; round < 5000; ++round)
    try_use([&] { return Tokenizer::from_json(parse_json(mutated_bytes(bytes, random), "fuzz"), "fuzz"); });
}

TEST(Fuzz, MutatedLlama2cBytes) {
  BITLOOM_REQUIRE_SHARED("models/stories260K");
  Random random(9);
  const std::string bytes = read_text(testing::shared_path("models/stories260K/tokenizer.bin"));
  const testing::TempDir directory;
  const std::string path = directory.file("tokenizer.bin");
  for (int round = 0; round < 300; ++round) {
    testing::write_file(path, mutated_bytes(bytes, random));
    try_use([&] { return Tokenizer::from_json(tokenizer_json_from_llama2c(path), path); });
  }
}

TEST(Fuzz, MutatedSentencePieceModels) {
  BITLOOM_REQUIRE_SHARED("models/babyllama-char");
  Random random(10);
  const std::string bytes = read_text(testing::shared_path("models/babyllama-char/tokenizer.model"));
  const testing::TempDir directory;
  for (int round = 0; round < 1000; ++round) {
    testing::write_file(directory.file("tokenizer.model"), mutated_bytes(bytes, random));
    try_use([&] { return Tokenizer::load(directory.path()); });
  }
}

}  // namespace
}  // namespace bitloom
