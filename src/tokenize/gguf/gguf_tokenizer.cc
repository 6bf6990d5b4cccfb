// A GGUF file's tokenizer.* keys as a tokenizer.json document.

#include "base/error.h"
#include "base/text/text.h"
#include "tokenize/engine.h"
#include "tokenize/gguf/gguf_pre.h"
#include "tokenize/sentencepiece/spm_document.h"

namespace bitloom {
namespace {

constexpr const char* kModel = "tokenizer.ggml.model";
constexpr const char* kPre = "tokenizer.ggml.pre";
constexpr const char* kTokens = "tokenizer.ggml.tokens";
constexpr const char* kTypes = "tokenizer.ggml.token_type";
constexpr const char* kScores = "tokenizer.ggml.scores";
constexpr const char* kMerges = "tokenizer.ggml.merges";
constexpr const char* kBos = "tokenizer.ggml.bos_token_id";
constexpr const char* kEos = "tokenizer.ggml.eos_token_id";
constexpr const char* kAddBos = "tokenizer.ggml.add_bos_token";
constexpr const char* kAddEos = "tokenizer.ggml.add_eos_token";
constexpr const char* kAddSpace = "tokenizer.ggml.add_space_prefix";

const std::vector<std::string>& tokens_of(const GgufFile& file) {
  const std::vector<std::string>* tokens = file.find_texts(kTokens);
  if (tokens == nullptr || tokens->empty()) refuse("{}: {} is absent or empty", file.path(), kTokens);
  return *tokens;
}

std::vector<PieceType> types_of(const GgufFile& file, size_t count) {
  const std::vector<int64_t> numbers = file.integers(kTypes);
  if (numbers.empty()) return std::vector<PieceType>(count, PieceType::kNormal);
  if (numbers.size() != count)
    refuse("{}: {} has {} entries, {} has {}", file.path(), kTypes, numbers.size(), kTokens, count);
  std::vector<PieceType> types;
  types.reserve(count);
  for (size_t i = 0; i < count; ++i) {
    // llama.cpp writes 0 ("undefined") for tokens without a type.
    if (numbers[i] < 0 || numbers[i] > 6) refuse("{}: {}[{}] is {} (1 to 6)", file.path(), kTypes, i, numbers[i]);
    types.push_back(numbers[i] == 0 ? PieceType::kNormal : static_cast<PieceType>(numbers[i]));
  }
  return types;
}

std::optional<int32_t> find_id(const GgufFile& file, const char* key, size_t count) {
  const auto id = file.find_integer(key);
  if (!id) return std::nullopt;
  if (*id < 0 || static_cast<size_t>(*id) >= count)
    refuse("{}: {} is {}, must be below the number of tokens, {}", file.path(), key, *id, count);
  return static_cast<int32_t>(*id);
}

// The special token that `flag` asks for, with `otherwise` when the flag is absent.
std::vector<int32_t> special(const GgufFile& file, const char* flag, bool otherwise, const char* key, size_t count) {
  const auto asked = file.find_flag(flag);
  const auto id = find_id(file, key, count);
  if (!asked.value_or(otherwise)) return {};
  if (id) return {*id};
  if (asked) refuse("{}: {} is true, but {} is absent", file.path(), flag, key);
  return {};
}

Json spm_from_gguf(const GgufFile& file) {
  SpmVocabulary v;
  v.tokens = tokens_of(file);
  v.scores = file.numbers(kScores);
  v.types = types_of(file, v.tokens.size());
  v.origin = fmt::format("{}: {}", file.path(), kTokens);
  if (v.scores.size() != v.tokens.size())
    refuse("{}: {} has {} entries, {} has {}", file.path(), kScores, v.scores.size(), kTokens, v.tokens.size());
  v.add_space_prefix = file.find_flag(kAddSpace).value_or(true);
  v.before = special(file, kAddBos, true, kBos, v.tokens.size());
  v.after = special(file, kAddEos, false, kEos, v.tokens.size());
  return spm_document(v);
}

const GgufPre& pre_of(const GgufFile& file) {
  const std::string name = file.find_text(kPre).value_or("default");
  const GgufPre* pre = find_gguf_pre(name);
  if (pre == nullptr)
    refuse("{}: {} is '{}', which bitloom does not support (supported: {})", file.path(), kPre, name, gguf_pre_names());
  return *pre;
}

Json bpe_vocabulary(const GgufFile& file, const std::vector<std::string>& tokens) {
  Json vocabulary = Json::object();
  for (size_t i = 0; i < tokens.size(); ++i) {
    const std::string& token = tokens[i];
    if (first_invalid_utf8(token) != token.size()) refuse("{}: {}[{}] is not valid UTF-8", file.path(), kTokens, i);
    if (vocabulary.contains(token))
      refuse("{}: {} has '{}' twice, at {} and {}", file.path(), kTokens, token, vocabulary[token].dump(), i);
    vocabulary[token] = i;
  }
  return vocabulary;
}

Json bpe_merges(const GgufFile& file) {
  const std::vector<std::string>* merges = file.find_texts(kMerges);
  if (merges == nullptr) refuse("{}: {} is absent", file.path(), kMerges);
  for (size_t i = 0; i < merges->size(); ++i) {
    const std::string& merge = (*merges)[i];
    if (first_invalid_utf8(merge) != merge.size()) refuse("{}: {}[{}] is not valid UTF-8", file.path(), kMerges, i);
  }
  return *merges;
}

Json bpe_from_gguf(const GgufFile& file) {
  const std::vector<std::string>& tokens = tokens_of(file);
  const std::vector<PieceType> types = types_of(file, tokens.size());
  const GgufPre& pre = pre_of(file);
  Json added = Json::array();
  for (size_t i = 0; i < tokens.size(); ++i) {
    const bool special = types[i] == PieceType::kControl || types[i] == PieceType::kUnknown;
    if (special || types[i] == PieceType::kUserDefined)
      added.push_back(added_token(static_cast<int32_t>(i), tokens[i], special));
  }
  const std::vector<int32_t> before = special(file, kAddBos, pre.add_bos, kBos, tokens.size());
  const std::vector<int32_t> after = special(file, kAddEos, false, kEos, tokens.size());
  Json normalizer;
  if (pre.normalizer) normalizer = {{"type", pre.normalizer}};
  return {{"version", "1.0"},
          {"added_tokens", added},
          {"normalizer", normalizer},
          {"pre_tokenizer", gguf_pre_tokenizer(pre)},
          {"post_processor", template_processing(before, after, tokens)},
          {"decoder", {{"type", "ByteLevel"}, {"add_prefix_space", true}, {"trim_offsets", true}, {"use_regex", true}}},
          {"model",
           {{"type", "BPE"},
            {"ignore_merges", pre.ignore_merges},
            {"vocab", bpe_vocabulary(file, tokens)},
            {"merges", bpe_merges(file)}}}};
}

}  // namespace

Json tokenizer_json_from_gguf(const GgufFile& file) {
  const std::string model = file.text(kModel);
  if (model == "llama") return spm_from_gguf(file);
  if (model == "gpt2") return bpe_from_gguf(file);
  refuse("{}: {} is '{}', which bitloom does not support (supported: gpt2, llama)", file.path(), kModel, model);
}

Tokenizer Tokenizer::from_gguf(const GgufFile& file) {
  const Json document = tokenizer_json_from_gguf(file);
  const std::string model = file.text(kModel);
  const std::string pre = model != "gpt2" ? "" : file.find_text(kPre).value_or("default, as none is named");
  const std::string label = fmt::format("GGUF {}{}", model, pre.empty() ? "" : " (" + pre + ")");
  auto engine = make_json_engine(document, file.path(), label);
  const size_t count = tokens_of(file).size();
  engine->bos = find_id(file, kBos, count);
  engine->eos = find_id(file, kEos, count);
  return Tokenizer(std::shared_ptr<const Engine>(std::move(engine)));
}

}  // namespace bitloom
