// ERNIE 4.5 (dense): llama with interleaved rope, and biases in all layers or in none.

#include "model/arch/parts.h"

namespace bitloom {

Graph build_ernie4_5(const Json& document, const std::string& origin, const TensorNames& names) {
  const ConfigReader config(document, origin);
  arch::LlamaFamily family;
  family.qkv_bias = family.output_bias = family.mlp_bias = config.flag("use_bias", false);
  family.default_eps = 1e-5;
  family.activation = arch::read_activation(config, "hidden_act", "silu");
  family.default_kv_heads = 2;
  family.default_head_dim = 128;
  family.default_positions = 131072;
  family.tied_by_default = true;
  family.default_bos = {1};
  family.default_eos = {2};
  Graph graph = arch::build_llama_family(config, names, family);
  RopeRules rules;
  rules.default_theta = 5e5;
  rules.interleaved = true;
  arch::set_rope(graph, config, rules);
  return graph;
}

}  // namespace bitloom
