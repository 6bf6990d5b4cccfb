// The chat template of a model, wherever it stands, and the special tokens that it may write.

#include <algorithm>
#include <filesystem>

#include "base/error.h"
#include "base/text/text.h"
#include "model/checkpoint/checkpoint_loader.h"

namespace bitloom {
namespace {

namespace fs = std::filesystem;

const char* const kDefault = "default";

/// A template's text and what to call it in messages.
struct FoundTemplate {
  std::string text, origin;
};

/// A model's tokenizer_config.json or what amounts to it, and files beside it.
struct Source {
  std::string path;    // of the model
  std::string origin;  // of `config`
  Json config;         // an object
  bool has_files;      // a directory
  std::string file(const std::string& name) const { return (fs::path(path) / name).string(); }
  bool has(const std::string& name) const { return has_files && fs::is_regular_file(file(name)); }
};

Json object_in(const std::string& file) {
  Json value = read_json(file);
  if (!value.is_object()) refuse("{}: expected an object", file);
  return value;
}

Source source_of(const std::string& path, const GgufFile* gguf) {
  if (gguf != nullptr) return {path, path, gguf_tokenizer_config(*gguf), false};
  Source source{path, "", Json::object(), true};
  source.origin = source.file("tokenizer_config.json");
  if (source.has("tokenizer_config.json")) source.config = object_in(source.origin);
  return source;
}

/// A text, or a list of {"name": ..., "template": ...}: text by name.
std::map<std::string, std::string> named_templates(const Json& value, const std::string& origin) {
  if (value.is_string()) return {{kDefault, value.get<std::string>()}};
  std::map<std::string, std::string> named;
  const auto text = [](const Json& entry, const char* key) {
    return entry.is_object() && entry.contains(key) && entry[key].is_string();
  };
  for (const Json& entry : value.is_array() ? value : Json::array({Json()})) {
    if (!text(entry, "name") || !text(entry, "template")) {
      refuse("{}: chat_template: expected a text, or a list of objects with the texts 'name' and 'template'", origin);
    }
    named[entry["name"].get<std::string>()] = entry["template"].get<std::string>();
  }
  return named;
}

FoundTemplate pick(const std::map<std::string, std::string>& named, const std::string& name,
                   const std::string& origin) {
  const auto at = named.find(name);
  if (at != named.end()) return {at->second, origin + ": chat_template" + (name == kDefault ? "" : " '" + name + "'")};
  std::vector<std::string> names;
  names.reserve(named.size());
  for (const auto& [known, text] : named) names.push_back(known);
  refuse("{}: no chat template '{}'; there are: {}", origin, name, fmt::join(names, ", "));
}

/// In transformers' order: a file of its own, tokenizer_config.json, and the file of processors.
std::optional<FoundTemplate> find_template(const Source& source, const std::string& name) {
  if (source.has("chat_template.jinja") && name == kDefault) {
    const std::string file = source.file("chat_template.jinja");
    return FoundTemplate{read_text(file), file};
  }
  const auto in = [&name](const Json& config, const std::string& origin) -> std::optional<FoundTemplate> {
    if (!config.contains("chat_template") || config["chat_template"].is_null()) return std::nullopt;
    return pick(named_templates(config["chat_template"], origin), name, origin);
  };
  if (auto found = in(source.config, source.origin)) return found;
  if (!source.has("chat_template.json")) return std::nullopt;
  const std::string file = source.file("chat_template.json");
  return in(object_in(file), file);
}

/// Keys such as "bos_token", as a text or as an object with "content".
void add_special_tokens(const Json& config, std::map<std::string, std::string>& tokens) {
  for (const auto& [key, value] : config.items()) {
    const Json& text = value.is_object() && value.contains("content") ? value["content"] : value;
    if (key.ends_with("_token") && text.is_string()) tokens.emplace(key, text.get<std::string>());
  }
}

}  // namespace

std::optional<ChatTemplate> load_chat_template(const std::string& path, const GgufFile* gguf, const std::string& name) {
  const Source source = source_of(path, gguf);
  const std::optional<FoundTemplate> found = find_template(source, name);
  if (!found) return std::nullopt;
  std::map<std::string, std::string> tokens;
  add_special_tokens(source.config, tokens);
  if (source.has("special_tokens_map.json")) {
    add_special_tokens(object_in(source.file("special_tokens_map.json")), tokens);
  }
  return ChatTemplate(found->text, found->origin, std::move(tokens));
}

std::string end_of_turn(const std::string& path, const GgufFile* gguf) {
  const std::string answer = "The answer is here.";
  try {
    const auto chat = load_chat_template(path, gguf, kDefault);
    if (!chat) return "";
    const std::string text = chat->render({{"user", "A question"}, {"assistant", answer}}, false);
    const size_t at = text.rfind(answer);
    return at == text.npos ? "" : text.substr(at + answer.size());
  } catch (const Error&) {  // the tokenizer serves without it; whoever renders chats is told
    return "";
  }
}

ChatTemplate Companions::chat_template(const std::string& name) const {
  auto loaded = load_chat_template(place_->path, place_->gguf.get(), name);
  if (!loaded) {
    refuse("{}: no chat template (expected {}); it is a model for plain text", place_->path,
           place_->gguf ? "the key tokenizer.chat_template"
                        : "chat_template in tokenizer_config.json, or chat_template.jinja");
  }
  return *std::move(loaded);
}

bool Companions::has_chat_template() const {
  return load_chat_template(place_->path, place_->gguf.get(), kDefault).has_value();
}

}  // namespace bitloom
