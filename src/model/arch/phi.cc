// Phi 1, 1.5 and 2: attention and MLP in parallel behind one layer norm, biases everywhere, half of each head rotated.

#include "model/arch/parts.h"

namespace bitloom {

Graph build_phi(const Json& document, const std::string& origin, const TensorNames& names) {
  const ConfigReader config(document, origin);
  arch::LlamaFamily family;
  family.qkv_bias = family.output_bias = family.mlp_bias = family.head_bias = true;
  family.parallel = true;
  family.gated = false;
  family.norm = NormKind::kLayer;
  family.eps_key = "layer_norm_eps";
  family.default_eps = 1e-5;
  family.names.mlp_norm = family.names.attention_norm;
  family.names.final_norm = "final_layernorm";
  family.names.output = "dense", family.names.up = "fc1", family.names.down = "fc2";
  if (config.flag("qk_layernorm", false)) family.names.q_norm = "q_layernorm", family.names.k_norm = "k_layernorm";
  family.activation = arch::read_activation(config, "hidden_act", "gelu_new");
  family.default_positions = 2048;
  family.default_bos = {1};
  family.default_eos = {2};
  Graph graph = arch::build_llama_family(config, names, family);
  RopeRules rules;
  rules.partial = true;
  rules.default_partial = 0.5;
  arch::set_rope(graph, config, rules);
  return graph;
}

}  // namespace bitloom
