// Mistral 7B and its kin: llama with grouped heads and one sliding window for all layers. It may lie inside a
// multimodal model (mistral3).

#include "model/arch/parts.h"

namespace bitloom {

Graph build_mistral(const Json& document, const std::string& origin, const TensorNames& names) {
  const ConfigReader config(document, origin);
  config.refuse_if_set("attention_bias", "this architecture has no attention biases");
  arch::LlamaFamily family;
  family.prefixes = arch::text_prefixes();
  family.head = arch::text_head(names);
  family.activation = arch::read_activation(config, "hidden_act", "silu");
  family.default_kv_heads = 8;
  family.default_positions = 4096 * 32;
  family.default_bos = {1};
  family.default_eos = {2};
  Graph graph = arch::build_llama_family(config, names, family);
  const auto layers = static_cast<int64_t>(graph.blocks.size());
  const int64_t window = arch::read_window(config, 4096);
  arch::require_uniform_layers(config, layers, window > 0);
  if (window > 0) arch::set_windows(graph, config, std::vector<bool>(graph.blocks.size(), true), window);
  arch::set_rope(graph, config);
  return graph;
}

}  // namespace bitloom
