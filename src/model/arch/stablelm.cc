// StableLM: the llama family with layer norms; a quarter of each head rotated.

#include "model/arch/parts.h"

namespace bitloom {

Graph build_stablelm(const Json& document, const std::string& origin, const TensorNames& names) {
  const ConfigReader config(document, origin);
  config.refuse_if_set("qk_layernorm", "norms of each head are not supported");
  config.refuse_if_set("use_parallel_residual", "parallel blocks are not supported");
  arch::LlamaFamily family;
  family.qkv_bias = config.flag("use_qkv_bias", false);
  family.norm = NormKind::kLayer;
  family.eps_key = "layer_norm_eps";
  family.default_eps = 1e-5;
  family.activation = arch::read_activation(config, "hidden_act", "silu");
  family.default_kv_heads = 32;
  family.default_positions = 4096;
  family.default_bos = family.default_eos = {0};
  Graph graph = arch::build_llama_family(config, names, family);
  RopeRules rules;
  rules.default_partial = 0.25;
  rules.partial = true;
  arch::set_rope(graph, config, rules);
  return graph;
}

}  // namespace bitloom
