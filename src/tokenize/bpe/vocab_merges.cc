// Byte-level BPE as GPT-2 wrote it down: vocab.json (tokens and their ids) and merges.txt (a pair a line, best first).
// How text is cut and which tokens are special is not in them: the tokenizer class that the files beside them name says
// it. Source: transformers 5, models/*/tokenization_*.py and models/auto/tokenization_auto.py.
#include <filesystem>

#include "base/error.h"
#include "base/text/text.h"
#include "tokenize/engine.h"
#include "tokenize/gguf/gguf_pre.h"
#include "tokenize/json/json_node.h"

namespace bitloom {
namespace {

struct NamedToken {
  const char* key;
  const char* content;
};

constexpr const char* kEnd = "<|endoftext|>";
constexpr NamedToken kGpt2[] = {{"bos_token", kEnd}, {"eos_token", kEnd}, {"unk_token", kEnd}};
constexpr NamedToken kNeox[] = {
    {"bos_token", kEnd}, {"eos_token", kEnd}, {"unk_token", kEnd}, {"pad_token", "<|padding|>"}};
constexpr NamedToken kQwen2[] = {{"eos_token", kEnd}, {"unk_token", kEnd}, {"pad_token", kEnd}};
constexpr NamedToken kRoberta[] = {{"bos_token", "<s>"},    {"eos_token", "</s>"},  {"unk_token", "<unk>"},
                                   {"sep_token", "</s>"},   {"pad_token", "<pad>"}, {"cls_token", "<s>"},
                                   {"mask_token", "<mask>"}};

struct BpeClass {
  std::string_view name;              // tokenizer_class, without "Fast" at its end
  const char* normalizer;             // nullptr: none
  const char* pre;                    // a name of gguf_pre.h; nullptr: GPT-2's regex, behind the prefix space
  std::span<const NamedToken> named;  // where the files are silent
  bool wraps = false;                 // cls_token and sep_token around every sequence
};

constexpr BpeClass kClasses[] = {
    {"GPT2Tokenizer", nullptr, nullptr, kGpt2},
    {"CodeGenTokenizer", nullptr, nullptr, kGpt2},
    {"GPTNeoXTokenizer", "NFC", nullptr, kNeox},
    {"Qwen2Tokenizer", "NFC", "qwen2", kQwen2},
    {"RobertaTokenizer", nullptr, nullptr, kRoberta, true},
    {"BartTokenizer", nullptr, nullptr, kRoberta, true},
    {"LongformerTokenizer", nullptr, nullptr, kRoberta, true},
    {"LEDTokenizer", nullptr, nullptr, kRoberta, true},
};

struct ModelType {
  std::string_view name;  // model_type of config.json
  std::string_view tokenizer_class;
  bool always = false;  // whatever class the files name
};

constexpr ModelType kModelTypes[] = {
    {"gpt2", "GPT2Tokenizer"},       {"gpt_neo", "GPT2Tokenizer"},     {"gptj", "GPT2Tokenizer"},
    {"opt", "GPT2Tokenizer"},        {"codegen", "GPT2Tokenizer"},     {"phi", "GPT2Tokenizer"},
    {"starcoder2", "GPT2Tokenizer"}, {"gpt_neox", "GPTNeoXTokenizer"}, {"qwen2", "Qwen2Tokenizer", true},
    {"qwen2_moe", "Qwen2Tokenizer"}, {"qwen3", "Qwen2Tokenizer"},      {"qwen3_moe", "Qwen2Tokenizer"},
    {"roberta", "RobertaTokenizer"}, {"bart", "RobertaTokenizer"},
};

std::string class_names() {
  std::string names;
  for (const BpeClass& row : kClasses) names += (names.empty() ? "" : ", ") + std::string(row.name);
  return names;
}

const BpeClass* find_class(std::string_view name) {
  if (name.ends_with("Fast")) name.remove_suffix(4);
  for (const BpeClass& row : kClasses) {
    if (row.name == name) return &row;
  }
  return nullptr;
}

const BpeClass& class_of(const std::string& path, const Neighbours& files) {
  const JsonNode config(files.config.content, "", files.config.path);
  const std::string type = config.text_or("model_type", "");
  const ModelType* known = nullptr;
  for (const ModelType& row : kModelTypes) {
    if (row.name == type) known = &row;
  }
  if (known && known->always) return *find_class(known->tokenizer_class);
  for (const Settings* settings : {&files.tokenizer_config, &files.config}) {
    const auto named = JsonNode(settings->content, "", settings->path).find("tokenizer_class");
    if (!named) continue;
    if (const BpeClass* found = find_class(named->text())) return *found;
    named->reject(fmt::format("is '{}', which bitloom does not support with vocab.json and merges.txt (supported: {})",
                              named->text(), class_names()));
  }
  if (known) return *find_class(known->tokenizer_class);
  refuse("{}: how text is cut depends on tokenizer_class, which {} lacks (supported: {})", path,
         files.tokenizer_config.path, class_names());
}

/// `files` with the class's own tokens where they are silent.
Neighbours completed(Neighbours files, const BpeClass& kind) {
  for (const auto& [key, content] : kind.named) {
    Json& config = files.tokenizer_config.content;
    if (!config.contains(key)) config[key] = content;
  }
  return files;
}

/// The pairs of merges.txt. Each token in them and each union is checked here, where the line is known.
Json read_merges(const std::string& path, const Json& vocabulary) {
  const std::string text = read_text(path);
  if (const size_t at = first_invalid_utf8(text); at != text.size()) refuse("{}: byte {} is no valid UTF-8", path, at);
  Json merges = Json::array();
  size_t number = 0;
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    std::string_view line = std::string_view(text).substr(begin, end - begin);
    begin = end + 1;
    ++number;
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (line.empty() || line.starts_with("#version")) continue;
    const size_t space = line.find(' ');
    if (space == line.npos || line.find(' ', space + 1) != line.npos)
      refuse("{}: line {} is '{}', must be two tokens with one space between them", path, number, line);
    const std::string left(line.substr(0, space)), right(line.substr(space + 1));
    for (const std::string& token : {left, right, left + right}) {
      if (!vocabulary.contains(token))
        refuse("{}: line {} needs the token '{}', which vocab.json lacks", path, number, token);
    }
    merges.push_back(Json::array({left, right}));
  }
  return merges;
}

Json pre_tokenizer(const BpeClass& kind, bool prefix_space) {
  if (kind.pre == nullptr)
    return {{"type", "ByteLevel"}, {"add_prefix_space", prefix_space}, {"trim_offsets", true}, {"use_regex", true}};
  Json parts = gguf_pre_tokenizer(*find_gguf_pre(kind.pre));
  parts["pretokenizers"].back()["add_prefix_space"] = prefix_space;
  return parts;
}

/// The token that the file names so, with special_tokens_map.json before tokenizer_config.json where that lists no
/// added tokens.
std::optional<int32_t> named_id(const Neighbours& files, const std::string& key, const Tokenizer::Engine& engine) {
  const bool lists = files.tokenizer_config.content.contains("added_tokens_decoder");
  const bool mapped = !lists && files.special_tokens_map.content.contains(key);
  const Settings& settings = mapped ? files.special_tokens_map : files.tokenizer_config;
  const auto node = JsonNode(settings.content, "", settings.path).find(key);
  if (!node) return std::nullopt;
  return engine.token_to_id((node->value().is_object() ? node->at("content") : *node).text());
}

}  // namespace

std::unique_ptr<Tokenizer::Engine> make_vocab_merges_engine(const std::string& path, const Neighbours& neighbours) {
  const BpeClass& kind = class_of(path, neighbours);
  const Neighbours files = completed(neighbours, kind);
  const JsonNode config(files.tokenizer_config.content, "", files.tokenizer_config.path);
  Json vocabulary = read_json(path);
  if (!vocabulary.is_object()) refuse("{}: is no object of tokens and ids", path);
  Json merges = read_merges((std::filesystem::path(path).parent_path() / "merges.txt").string(), vocabulary);
  Json document = {{"version", "1.0"},
                   {"normalizer", nullptr},
                   {"pre_tokenizer", pre_tokenizer(kind, config.flag_or("add_prefix_space", false))},
                   {"decoder", {{"type", "ByteLevel"}}},
                   {"model", {{"type", "BPE"}, {"vocab", std::move(vocabulary)}, {"merges", std::move(merges)}}}};
  if (kind.normalizer) document["normalizer"] = {{"type", kind.normalizer}};
  auto engine = make_json_engine(std::move(document), files, path, "vocab.json");
  engine->bos = named_id(files, "bos_token", *engine);
  engine->eos = named_id(files, "eos_token", *engine);
  const auto cls = named_id(files, "cls_token", *engine), sep = named_id(files, "sep_token", *engine);
  if (kind.wraps && cls && sep) {
    engine->set_special({*cls}, {*sep});
    engine->has_template = true;
  }
  return engine;
}

}  // namespace bitloom
