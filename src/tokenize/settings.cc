#include "tokenize/settings.h"

#include <filesystem>

#include "base/error.h"

namespace bitloom {

Settings read_settings(const std::string& directory, const char* name) {
  Settings settings{(std::filesystem::path(directory) / name).string()};
  if (std::filesystem::exists(settings.path)) settings.content = read_json(settings.path);
  if (!settings.content.is_object()) refuse("{}: is no JSON object", settings.path);
  return settings;
}

Neighbours::Neighbours(const std::string& directory)
    : tokenizer_config(read_settings(directory, "tokenizer_config.json")),
      special_tokens_map(read_settings(directory, "special_tokens_map.json")),
      added_tokens(read_settings(directory, "added_tokens.json")),
      config(read_settings(directory, "config.json")),
      generation_config(read_settings(directory, "generation_config.json")) {}

}  // namespace bitloom
