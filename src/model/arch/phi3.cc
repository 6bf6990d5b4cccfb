// Phi 3, 3.5 (dense) and 4: llama with fused projections and longrope.

#include "model/arch/parts.h"

namespace bitloom {

Graph build_phi3(const Json& document, const std::string& origin, const TensorNames& names) {
  const ConfigReader config(document, origin);
  for (const char* key : {"attention_bias", "mlp_bias", "lm_head_bias"}) {
    config.refuse_if_set(key, "this architecture has no biases");
  }
  arch::LlamaFamily family;
  family.qkv = QkvLayout::kConcatenated;
  family.fused_gate_up = true;
  family.activation = arch::read_activation(config, "hidden_act", "silu");
  family.default_eps = 1e-5;
  family.default_positions = 4096;
  family.default_bos = {1};
  family.default_eos = {32000};
  Graph graph = arch::build_llama_family(config, names, family);
  const int64_t window = config.find_count("sliding_window").value_or(0);
  arch::require_uniform_layers(config, static_cast<int64_t>(graph.blocks.size()), window > 0);
  if (window > 0) arch::set_windows(graph, config, std::vector<bool>(graph.blocks.size(), true), window);
  RopeRules rules;
  rules.partial = true;
  rules.phi3_names = true;
  rules.default_original = 4096;
  arch::set_rope(graph, config, rules);
  return graph;
}

}  // namespace bitloom
