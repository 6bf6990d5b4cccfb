#pragma once
// For tests only: the names of a checkpoint, and what a refusal said.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <set>
#include <string>

#include "base/error.h"
#include "base/test_data.h"
#include "model/architecture.h"

namespace bitloom::testing {

class NameSet final : public TensorNames {
 public:
  NameSet() = default;
  explicit NameSet(std::set<std::string> names) : names_(std::move(names)) {}
  bool has(const std::string& name) const override { return names_.contains(name); }

 private:
  std::set<std::string> names_;
};

/// The message of the refusal that `body` must end in.
inline std::string refusal(const std::function<void()>& body) {
  return testing::message_of(ErrorKind::kRefused, [&] { body(); });
}

/// A small llama configuration.
inline Json llama_config() {
  return {{"model_type", "llama"},        {"vocab_size", 40},       {"hidden_size", 32},
          {"intermediate_size", 48},      {"num_hidden_layers", 2}, {"num_attention_heads", 4},
          {"num_key_value_heads", 2},     {"rms_norm_eps", 1e-5},   {"hidden_act", "silu"},
          {"max_position_embeddings", 64}};
}

inline Json with(Json config, const std::string& key, Json value) {
  config[key] = std::move(value);
  return config;
}

inline Json without(Json config, const std::string& key) {
  config.erase(key);
  return config;
}

}  // namespace bitloom::testing
