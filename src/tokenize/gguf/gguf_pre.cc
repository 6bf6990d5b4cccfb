#include "tokenize/gguf/gguf_pre.h"

#include "tokenize/bpe/byte_level.h"

namespace bitloom {
namespace {

#define BITLOOM_CONTRACTIONS "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
constexpr const char* kGpt2 = "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";
constexpr const char* kLlama3 = BITLOOM_CONTRACTIONS
    "|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";
constexpr const char* kQwen2 = BITLOOM_CONTRACTIONS
    "|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";
#define BITLOOM_UPPER "[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]"
#define BITLOOM_LOWER "[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]"
constexpr const char* kTekken =
    "[^\\r\\n\\p{L}\\p{N}]?" BITLOOM_UPPER "*" BITLOOM_LOWER "+|[^\\r\\n\\p{L}\\p{N}]?" BITLOOM_UPPER "+" BITLOOM_LOWER
    "*|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";
constexpr const char* kGpt4o = "[^\\r\\n\\p{L}\\p{N}]?" BITLOOM_UPPER "*" BITLOOM_LOWER "+" BITLOOM_CONTRACTIONS
                               "?|[^\\r\\n\\p{L}\\p{N}]?" BITLOOM_UPPER "+" BITLOOM_LOWER "*" BITLOOM_CONTRACTIONS
                               "?|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";
#undef BITLOOM_CONTRACTIONS
#undef BITLOOM_UPPER
#undef BITLOOM_LOWER
constexpr const char* kPunctuation = "[\\p{P}\\$\\+<=>\\^~\\|]+";
constexpr const char* kFalconPunctuation = "[\\p{P}\\$\\+<=>\\^~\\|`]+";
constexpr const char* kDigit = "\\p{N}";
constexpr const char* kThreeDigits = "[0-9][0-9][0-9]";

// Facts from llama.cpp's src/llama-vocab.cpp; the regexes as the models' own tokenizer.json have them, and NFC where
// the models' own tokenizer normalizes so.
constexpr GgufPre kRows[] = {
    {"default", nullptr, {kPunctuation, kGpt2, "\\p{N}+", kThreeDigits}, false, false},
    {"gpt-2", nullptr, {kGpt2}, false, false},
    {"gpt-neox", "NFC", {kGpt2}, false, false},
    {"phi-2", nullptr, {kGpt2}, false, false},
    {"mpt", nullptr, {kGpt2}, false, false},
    {"olmo", "NFC", {kGpt2}, false, false},
    {"jais", nullptr, {kGpt2}, false, false},
    {"llama3", nullptr, {kLlama3}, true, true},
    {"llama-v3", nullptr, {kLlama3}, true, true},
    {"llama-bpe", nullptr, {kLlama3}, true, true},
    {"falcon3", nullptr, {kLlama3}, true, true},
    {"dbrx", nullptr, {kLlama3}, false, false},
    {"smaug-bpe", nullptr, {kLlama3}, false, false},
    {"qwen2", "NFC", {kQwen2}, false, false},
    {"deepseek-r1-qwen", "NFC", {kQwen2}, false, false},
    {"stablelm2", nullptr, {kQwen2}, false, false},
    {"smollm", nullptr, {kDigit, kGpt2}, false, false},
    {"starcoder", nullptr, {kDigit, kGpt2}, false, false},
    {"refact", nullptr, {kDigit, kGpt2}, false, false},
    {"codeshell", nullptr, {kDigit, kGpt2}, false, false},
    {"command-r", "NFC", {kDigit, kGpt2}, false, false},
    {"falcon", nullptr, {kFalconPunctuation, kGpt2, kThreeDigits}, false, false},
    {"tekken", nullptr, {kTekken}, true, true},
    {"gpt-4o", nullptr, {kGpt4o}, false, false},
    {"llama4", nullptr, {kGpt4o}, false, false},
};

}  // namespace

const GgufPre* find_gguf_pre(std::string_view name) {
  for (const GgufPre& row : kRows) {
    if (row.name == name) return &row;
  }
  return nullptr;
}

std::string gguf_pre_names() {
  std::string names;
  for (const GgufPre& row : kRows) names += (names.empty() ? "" : ", ") + std::string(row.name);
  return names;
}

Json gguf_pre_tokenizer(const GgufPre& pre) {
  Json parts = Json::array();
  for (const char* regex : pre.regexes) {
    if (regex == nullptr) break;
    parts.push_back({{"type", "Split"}, {"pattern", {{"Regex", regex}}}, {"behavior", "Isolated"}, {"invert", false}});
  }
  parts.push_back({{"type", "ByteLevel"}, {"add_prefix_space", false}, {"trim_offsets", true}, {"use_regex", false}});
  return {{"type", "Sequence"}, {"pretokenizers", parts}};
}

}  // namespace bitloom
