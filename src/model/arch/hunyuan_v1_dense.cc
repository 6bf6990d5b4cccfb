// HunYuan (dense): llama with norms of each head of q and k behind the rope, whose base alpha stretches.

#include "model/arch/parts.h"

namespace bitloom {

Graph build_hunyuan_v1_dense(const Json& document, const std::string& origin, const TensorNames& names) {
  const ConfigReader config(document, origin);
  config.refuse_if_set("use_cla", "keys and values shared between layers are not supported");
  arch::LlamaFamily family;
  family.qkv_bias = family.output_bias = config.flag("attention_bias", false);
  family.names.q_norm = "query_layernorm", family.names.k_norm = "key_layernorm";
  family.default_eps = 1e-5;
  family.activation = arch::read_activation(config, "hidden_act", "silu");
  family.default_positions = 2048;
  family.default_bos = {1};
  family.default_eos = {2};
  Graph graph = arch::build_llama_family(config, names, family);
  for (Block& block : graph.blocks) block.attention.rope_before_norm = true;
  RopeRules rules;
  rules.alpha = true;
  arch::set_rope(graph, config, rules);
  return graph;
}

}  // namespace bitloom
