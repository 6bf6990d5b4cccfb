#include "model/gguf/gguf_rope.h"

#include <cmath>

#include "io/tensor_view.h"

namespace bitloom {
namespace {

/// The factors of a small tensor such as rope_freqs.weight, as they divide the frequencies.
Json factor_list(const GgufMetadata& data, const GgufTensor& tensor) {
  const auto pairs = (data.rotated() + 1) / 2;
  if (tensor.shape != std::vector<int64_t>{pairs}) {
    refuse("{}: tensor '{}' has shape {}, expected [{}]", tensor.file, tensor.name, shape_text(tensor.shape), pairs);
  }
  Json list = Json::array();
  for (const float factor : gguf_rows(tensor)->decode_all()) list.push_back(shortest_decimal(factor));
  return list;
}

/// Llama 3.1's factors are a tensor, one per frequency, whatever the sequence: longrope with equal lists says just
/// that.
Json frequency_factors(const GgufMetadata& data, const GgufTensor& tensor) {
  const Json factors = factor_list(data, tensor);
  return {{"rope_type", "longrope"}, {"short_factor", factors},
          {"long_factor", factors},  {"factor", 1.0},
          {"attention_factor", 1.0}, {"original_max_position_embeddings", data.size("context_length")}};
}

Json longrope(const GgufMetadata& data, const GgufTensor& shorter, const GgufTensor& longer) {
  return {{"rope_type", "longrope"},
          {"short_factor", factor_list(data, shorter)},
          {"long_factor", factor_list(data, longer)},
          {"original_max_position_embeddings",
           data.size("rope.scaling.original_context_length", data.size("context_length"))},
          {"attention_factor", data.number("rope.scaling.attn_factor", 1.0)}};
}

Json yarn(const GgufMetadata& data, double factor) {
  require_neutral(data, "rope.scaling.yarn_attn_factor", 1.0);
  require_neutral(data, "rope.scaling.yarn_ext_factor", 1.0);
  Json scaling = {{"rope_type", "yarn"},
                  {"factor", factor},
                  {"original_max_position_embeddings",
                   data.size("rope.scaling.original_context_length", data.size("context_length"))}};
  if (data.file().has(data.key("rope.scaling.yarn_beta_fast"))) {
    scaling["beta_fast"] = data.number("rope.scaling.yarn_beta_fast");
  }
  if (data.file().has(data.key("rope.scaling.yarn_beta_slow"))) {
    scaling["beta_slow"] = data.number("rope.scaling.yarn_beta_slow");
  }
  return scaling;
}

/// What positions are divided by: rope.scaling.factor, of older files rope.scale_linear; without either, or with 0,
/// they are not scaled. The type "none" overrides the factor.
double scaling_factor(const GgufMetadata& data, const std::string& type) {
  if (type == "none") return 1.0;
  const double factor = data.number("rope.scaling.factor", data.number("rope.scale_linear", 0.0));
  return factor == 0.0 ? 1.0 : factor;
}

}  // namespace

Json rope_scaling(const GgufMetadata& data) {
  const std::string key = data.key("rope.scaling.type");
  const std::string type = data.file().find_text(key).value_or("linear");
  const double factor = scaling_factor(data, type);
  const GgufTensor* shorter = data.find_tensor("rope_factors_short.weight");
  const GgufTensor* longer = data.find_tensor("rope_factors_long.weight");
  const GgufTensor* factors = data.find_tensor("rope_freqs.weight");
  const bool has_lists = shorter != nullptr && longer != nullptr;
  if ((has_lists || factors != nullptr) && (type == "yarn" || factor != 1.0)) {
    refuse("{}: '{}' is '{}' with factor {} beside the tensor '{}', expected one of them", data.file().path(), key,
           type, factor, has_lists ? shorter->name : factors->name);
  }
  if (has_lists) return longrope(data, *shorter, *longer);
  require_neutral(data, "rope.scaling.attn_factor", 1.0);
  if (factors != nullptr) return frequency_factors(data, *factors);
  if (type == "yarn") return yarn(data, factor);
  if (type != "none" && type != "linear") {
    refuse("{}: '{}' is '{}', supported: none, linear, yarn, and factors as tensors", data.file().path(), key, type);
  }
  return factor == 1.0 ? Json() : Json({{"rope_type", "linear"}, {"factor", factor}});
}

double partial_factor(const GgufMetadata& data) {
  const int64_t rotated = data.rotated(), head_dim = data.head_dim();
  double factor = static_cast<double>(rotated) / static_cast<double>(head_dim);
  while (static_cast<int64_t>(static_cast<double>(head_dim) * factor) < rotated) factor = std::nextafter(factor, 2.0);
  return factor;
}

void require_whole_heads(const GgufMetadata& data) {
  if (data.rotated() == data.head_dim()) return;
  refuse("{}: '{}' is {}, expected the heads' width {}", data.file().path(), data.key("rope.dimension_count"),
         data.rotated(), data.head_dim());
}

}  // namespace bitloom
