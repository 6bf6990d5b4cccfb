#pragma once
// The files beside a tokenizer that say more of it, as objects; an absent one is empty.

#include <string>

#include "io/json.h"

namespace bitloom {

struct Settings {
  std::string path;  // for messages
  Json content = Json::object();
};

/// Error(kRefused) when the file is there and no JSON object.
Settings read_settings(const std::string& directory, const char* name);

struct Neighbours {
  explicit Neighbours(const std::string& directory);
  Settings tokenizer_config, special_tokens_map, added_tokens, config, generation_config;
};

}  // namespace bitloom
