// Helium: llama with interleaved rope.

#include "model/arch/parts.h"

namespace bitloom {

Graph build_helium(const Json& document, const std::string& origin, const TensorNames& names) {
  const ConfigReader config(document, origin);
  arch::LlamaFamily family;
  family.qkv_bias = config.flag("attention_bias", false);
  family.mlp_bias = config.flag("mlp_bias", false);
  family.default_eps = 1e-8;
  family.activation = arch::read_activation(config, "hidden_act", "silu");
  family.default_kv_heads = 20;
  family.default_head_dim = 128;
  family.default_positions = 4096;
  family.default_bos = {1};
  family.default_eos = {2};
  Graph graph = arch::build_llama_family(config, names, family);
  RopeRules rules;
  rules.default_theta = 1e5;
  rules.interleaved = true;
  arch::set_rope(graph, config, rules);
  return graph;
}

}  // namespace bitloom
