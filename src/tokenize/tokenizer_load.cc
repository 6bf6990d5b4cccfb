// A tokenizer from a model directory, with what the files beside it say of special tokens.
#include <filesystem>
#include <unordered_map>

#include "base/error.h"
#include "tokenize/added_beside.h"
#include "tokenize/engine.h"
#include "tokenize/json/json_node.h"

namespace bitloom {
namespace {

namespace fs = std::filesystem;
using EnginePtr = std::unique_ptr<Tokenizer::Engine>;

EnginePtr from_tokenizer_json(const std::string& path, const Neighbours& files) {
  auto engine = make_json_engine(read_json(path), files, path, "tokenizer.json");
  engine->has_template = true;
  return engine;
}

EnginePtr from_tokenizer_bin(const std::string& path, const Neighbours& files) {
  auto engine = make_json_engine(tokenizer_json_from_llama2c(path), files, path, "tokenizer.bin");
  engine->eos = 2;
  return engine;
}

struct Source {
  const char* name;
  EnginePtr (*load)(const std::string& path, const Neighbours& files);
};

constexpr Source kSources[] = {{"tokenizer.json", from_tokenizer_json},
                               {"tokenizer.model", make_sentencepiece_engine},
                               {"tokenizer.bin", from_tokenizer_bin},
                               {"vocab.json", make_vocab_merges_engine},
                               {"tekken.json", make_tekken_engine}};

std::string source_names() {
  std::string names = kSources[0].name;
  for (size_t i = 1; i < std::size(kSources); ++i)
    names += (i + 1 == std::size(kSources) ? " or " : ", ") + std::string(kSources[i].name);
  return names;
}

// "bos_token": "<s>" or {"content": "<s>", ...}. False when the file does not say; null says that there is none.
bool id_by_token(const Settings& settings, const std::string& key, const Tokenizer::Engine& engine,
                 std::optional<int32_t>& id) {
  if (!settings.content.contains(key)) return false;
  const JsonNode root(settings.content, "", settings.path);
  const auto node = root.find(key);
  id.reset();
  if (!node) return true;
  const JsonNode content = node->value().is_object() ? node->at("content") : *node;
  id = engine.token_to_id(content.text());
  if (!id) content.reject(fmt::format("is '{}', which is not in the vocabulary", content.text()));
  return true;
}

// "eos_token_id": 2 or [2, 32007], of which the first counts here.
bool id_by_number(const Settings& settings, const std::string& key, const Tokenizer::Engine& engine,
                  std::optional<int32_t>& id) {
  const JsonNode root(settings.content, "", settings.path);
  auto node = root.find(key);
  if (node && node->value().is_array()) {
    const auto items = node->items();
    node = items.empty() ? std::nullopt : std::optional<JsonNode>(items.front());
  }
  if (!node) return false;
  id = node->id();
  if (*id >= engine.vocab_size())
    node->reject(fmt::format("is {}, but the tokenizer has only {} tokens", *id, engine.vocab_size()));
  return true;
}

void resolve(const Neighbours& files, const std::string& name, const Tokenizer::Engine& engine,
             std::optional<int32_t>& id) {
  if (id_by_token(files.tokenizer_config, name, engine, id)) return;
  if (id_by_token(files.special_tokens_map, name, engine, id)) return;
  if (id_by_number(files.config, name + "_id", engine, id)) return;
  id_by_number(files.generation_config, name + "_id", engine, id);
}

/// What tokenizer_config.json says of the tokens around a sequence.
void apply_flags(const Settings& settings, Tokenizer::Engine& engine) {
  const JsonNode root(settings.content, "", settings.path);
  std::vector<int32_t> before = engine.prefix(), after;
  if (root.find("add_bos_token")) {
    before.clear();
    if (engine.bos && root.flag_or("add_bos_token", false)) before.push_back(*engine.bos);
  }
  if (engine.eos && root.flag_or("add_eos_token", false)) after.push_back(*engine.eos);
  engine.set_special(std::move(before), std::move(after));
}

/// Ids of a list of tokens with scores. What is wrong with it, its model says.
std::unordered_map<std::string_view, int32_t> ids_in(const Json& list) {
  std::unordered_map<std::string_view, int32_t> ids;
  for (size_t i = 0; list.is_array() && i < list.size(); ++i) {
    const Json& entry = list[i];
    if (entry.is_array() && !entry.empty() && entry[0].is_string())
      ids[entry[0].get_ref<const std::string&>()] = static_cast<int32_t>(i);
  }
  return ids;
}

const Source* source_in(const std::string& directory) {
  for (const Source& source : kSources) {
    if (fs::exists(fs::path(directory) / source.name)) return &source;
  }
  return nullptr;
}

}  // namespace

EnginePtr make_json_engine(Json document, const Neighbours& files, const std::string& path, const std::string& label) {
  const Json::json_pointer place("/model/vocab");
  if (document.is_object() && document.contains(place) && document[place].is_structured()) {
    const Json& vocabulary = document[place];
    const auto listed = ids_in(vocabulary);
    const auto find = [&](const std::string& token) -> std::optional<int32_t> {
      if (vocabulary.is_object()) {
        const auto found = vocabulary.find(token);
        if (found != vocabulary.end()) return JsonNode(*found, "model.vocab", path).id();
      } else if (const auto found = listed.find(token); found != listed.end()) {
        return found->second;
      }
      return std::nullopt;
    };
    Json added = with_added_beside(document.value("added_tokens", Json()), files, vocabulary.size(), find);
    if (!added.is_null()) document["added_tokens"] = std::move(added);
  }
  return make_json_engine(std::as_const(document), path, label);
}

bool Tokenizer::is_in(const std::string& directory) { return source_in(directory) != nullptr; }

Tokenizer Tokenizer::load(const std::string& directory) {
  const Source* source = source_in(directory);
  if (source == nullptr) refuse("{}: no tokenizer (expected {})", directory, source_names());
  const Neighbours files(directory);
  auto engine = source->load((fs::path(directory) / source->name).string(), files);
  resolve(files, "bos_token", *engine, engine->bos);
  resolve(files, "eos_token", *engine, engine->eos);
  // As transformers 5: a template is not contradicted.
  if (!engine->has_template) apply_flags(files.tokenizer_config, *engine);
  return Tokenizer(std::shared_ptr<const Engine>(std::move(engine)));
}

}  // namespace bitloom
