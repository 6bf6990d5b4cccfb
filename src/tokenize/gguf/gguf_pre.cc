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
constexpr const char* kSeed = BITLOOM_CONTRACTIONS
    "|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}\\r\\n]+|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";
#undef BITLOOM_CONTRACTIONS
#undef BITLOOM_UPPER
#undef BITLOOM_LOWER
// DeepSeek's: lines' ends, words with a space before them, and so on. The letters are those of the models' own
// tokenizer.json, of scripts with cases.
constexpr const char* kLineEnd = "[\\r\\n]";
constexpr const char* kCasedWords =
    "\\s?["
    "A-Za-z\u00B5\u00C0-\u00D6\u00D8-\u00F6\u00F8-\u01BA\u01BC-\u01BF\u01C4-\u0293\u0295-\u02AF\u0370-\u0373"
    "\u0376\u0377\u037B-\u037D\u037F\u0386\u0388-\u038A\u038C\u038E-\u03A1\u03A3-\u03F5\u03F7-\u0481\u048A-"
    "\u052F\u0531-\u0556\u10A0-\u10C5\u13A0-\u13F5\u13F8-\u13FD\u1C90-\u1CBA\u1CBD-\u1CBF\u1D00-\u1D2B\u1D6B-"
    "\u1D77\u1D79-\u1D9A\u1E00-\u1F15\u1F18-\u1F1D\u1F20-\u1F45\u1F48-\u1F4D\u1F50-\u1F57\u1F59\u1F5B\u1F5D"
    "\u1F5F-\u1F7D\u1F80-\u1FB4\u1FB6-\u1FBC\u1FBE\u1FC2-\u1FC4\u1FC6-\u1FCC\u1FD0-\u1FD3\u1FD6-\u1FDB\u1FE0-"
    "\u1FEC\u1FF2-\u1FF4\u1FF6-\u1FFC\u2102\u2107\u210A-\u2113\u2115\u2119-\u211D\u2124\u2126\u2128\u212A-\u212D"
    "\u212F-\u2134\u2139\u213C-\u213F\u2145-\u2149\u214E\u2183\u2184\u2C00-\u2C7B\u2C7E-\u2CE4\u2CEB-\u2CEE"
    "\u2CF2\u2CF3\uA640-\uA66D\uA680-\uA69B\uA722-\uA76F\uA771-\uA787\uA78B-\uA78E\uAB70-\uABBF\uFB00-\uFB06"
    "\uFB13-\uFB17\uFF21-\uFF3A\uFF41-\uFF5A\U00010400-\U0001044F\U000104B0-\U000104D3\U000104D8-\U000104FB"
    "\U00010C80-\U00010CB2\U00010CC0-\U00010CF2\U000118A0-\U000118DF\U0001E900-\U0001E943"
    "]+";
constexpr const char* kWidePunctuation = "\\s?[!-/:-~\uFF01-\uFF0F\uFF1A-\uFF5E\u2018-\u201F\u3000-\u3002]+";
constexpr const char* kSpaceAtEnd = "\\s+$";
constexpr const char* kCjkHangul = "[\u4E00-\u9FA5\u0800-\u4E00\uAC00-\uD7FF]+";
constexpr const char* kCjkKana = "[\u4E00-\u9FA5\u3040-\u309F\u30A0-\u30FF]+";
constexpr const char* kDeepSeek3 =
    "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\\r\\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+"
    "| ?[\\p{P}\\p{S}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";
// BLOOM's words: what is neither space nor punctuation of these scripts, nor '(', '|', ')'.
constexpr const char* kBloom = " ?[^(\\s|.,!?\u2026\u3002\uFF0C\u3001\u0964\u06D4\u060C)]+";
constexpr const char* kPunctuation = "[\\p{P}\\$\\+<=>\\^~\\|]+";
constexpr const char* kFalconPunctuation = "[\\p{P}\\$\\+<=>\\^~\\|`]+";
constexpr const char* kDigit = "\\p{N}";
constexpr const char* kNumber = "\\p{N}+";
constexpr const char* kThreeNumbers = "\\p{N}{1,3}";
constexpr const char* kThreeDigits = "[0-9][0-9][0-9]";

// Facts from llama.cpp's src/llama-vocab.cpp; the regexes as the models' own tokenizer.json have them, and NFC where
// the models' own tokenizer normalizes so.
constexpr GgufPre kRows[] = {
    {"default", nullptr, {kPunctuation, kGpt2, kNumber, kThreeDigits}, false, false},
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
    {"exaone", nullptr, {kDigit, kGpt2}, false, false},
    {"minerva-7b", nullptr, {kDigit, kGpt2}, false, false},
    {"exaone4", nullptr, {kGpt2}, false, false},
    {"glm4", nullptr, {kLlama3}, false, false},
    {"chatglm-bpe", nullptr, {kLlama3}, false, false},
    {"hunyuan", nullptr, {kQwen2}, false, false},
    {"hunyuan-dense", nullptr, {kThreeNumbers, kCjkKana, kDeepSeek3}, false, false},
    {"deepseek-v3", nullptr, {kThreeNumbers, kCjkKana, kDeepSeek3}, false, false},
    {"deepseek-llm",
     nullptr,
     {kLineEnd, kCasedWords, kWidePunctuation, kSpaceAtEnd, kCjkHangul, kNumber},
     false,
     false},
    {"deepseek-coder", nullptr, {kLineEnd, "\\s?\\p{L}+", "\\s?\\p{P}+", kCjkHangul, kDigit}, false, false},
    {"seed-coder", nullptr, {kSeed}, false, false},
    {"bloom", nullptr, {kBloom}, false, false},
    {"poro-chat", nullptr, {kBloom}, false, false},
    {"gpt3-finnish", nullptr, {kBloom}, false, false},
    {"viking", nullptr, {kBloom, kDigit}, false, false},
    {"pixtral", nullptr, {kLlama3}, true, true},
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
