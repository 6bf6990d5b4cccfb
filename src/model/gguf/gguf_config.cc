// The metadata of a GGUF file as a config.json document.

#include <algorithm>
#include <span>
#include <string_view>

#include "base/error.h"
#include "model/gguf/gguf_families.h"

namespace bitloom {
namespace {

const GgufArchitecture* find_row(std::span<const GgufArchitecture> rows, const std::string& name) {
  const auto at = std::find_if(rows.begin(), rows.end(), [&](const GgufArchitecture& row) { return name == row.name; });
  return at == rows.end() ? nullptr : &*at;
}

const GgufArchitecture& find_architecture(const GgufFile& file) {
  const std::string name = file.text("general.architecture"), key = name + ".expert_count";
  const int64_t experts = file.find_integer(key).value_or(0);
  const GgufArchitecture* dense = find_row(gguf_architectures(), name);
  const GgufArchitecture* mixture = find_row(gguf_mixtures(), name);
  if (const GgufArchitecture* row = experts > 0 ? mixture : dense; row != nullptr) return *row;
  if (dense != nullptr || mixture != nullptr) {
    refuse("{}: '{}' is {}, {}", file.path(), key, experts,
           experts > 0 ? "mixtures of experts are not supported" : "expected a mixture of experts");
  }
  std::string known;
  for (const GgufArchitecture& row : gguf_architectures()) known += (known.empty() ? "" : ", ") + std::string(row.name);
  for (const GgufArchitecture& row : gguf_mixtures()) {
    if (find_row(gguf_architectures(), row.name) == nullptr) known += ", " + std::string(row.name);
  }
  refuse("{}: unknown general.architecture '{}'; known: {}", file.path(), name, known);
}

}  // namespace

Json config_from_gguf(const GgufFile& file) {
  const GgufArchitecture& architecture = find_architecture(file);
  const GgufMetadata data(file, architecture.name);
  if (!file.find_flag(data.key("attention.causal")).value_or(true)) {
    refuse("{}: '{}' is false, only causal attention is supported", file.path(), data.key("attention.causal"));
  }
  for (const char* key :
       {"attention.clamp_kqv", "attention.max_alibi_bias", "rope.scaling.yarn_log_multiplier", "rope.scaling.alpha"}) {
    if (architecture.reads.find(key) == std::string_view::npos) require_neutral(data, key, 0.0);
  }
  const GgufTensor* embedding = data.find_tensor("token_embd.weight");
  if (embedding == nullptr || embedding->shape.size() != 2) {
    refuse("{}: tensor 'token_embd.weight' is missing or no matrix", file.path());
  }
  Json config = {{"architectures", Json::array({architecture.class_name})},
                 {"model_type", architecture.model_type},
                 {"vocab_size", embedding->shape[0]},
                 {"tie_word_embeddings", !data.has_tensor("output.weight")},
                 {"torch_dtype", "float32"}};
  for (const char* token : {"bos_token_id", "eos_token_id"}) {
    const std::optional<int64_t> id = file.find_integer(std::string("tokenizer.ggml.") + token);
    config[token] = id ? Json(*id) : Json(nullptr);
  }
  architecture.fill(data, config);
  return config;
}

}  // namespace bitloom
