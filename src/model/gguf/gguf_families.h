#pragma once
// The families that GGUF files are of: a row each, and what its config.json says beyond the vocabulary.

#include <span>
#include <string_view>

#include "io/json.h"
#include "model/gguf/gguf_metadata.h"

namespace bitloom {

struct GgufArchitecture {
  const char* name;        // general.architecture
  const char* model_type;  // config.json
  const char* class_name;  // of transformers
  void (*fill)(const GgufMetadata& data, Json& config);
  std::string_view reads = "";  // keys that are refused elsewhere
};

std::span<const GgufArchitecture> gguf_architectures();
/// Of files with expert_count > 0.
std::span<const GgufArchitecture> gguf_mixtures();

}  // namespace bitloom
