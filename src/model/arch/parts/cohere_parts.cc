#include "model/arch/parts.h"

namespace bitloom::arch {

LlamaFamily cohere_family(const ConfigReader& config) {
  LlamaFamily family;
  family.qkv_bias = family.output_bias = config.flag("attention_bias", false);
  family.parallel = true;
  family.names.mlp_norm = family.names.attention_norm;
  family.norm = NormKind::kLayer;
  family.norm_bias = false;
  family.eps_key = "layer_norm_eps";
  family.default_eps = 1e-5;
  family.activation = read_activation(config, "hidden_act", "silu");
  family.default_positions = 8192;
  family.tied_by_default = true;
  family.default_bos = {5};
  family.default_eos = {255001};
  return family;
}

void set_cohere_rope(Graph& graph, const ConfigReader& config, double default_theta) {
  graph.logit_scale = static_cast<float>(config.number("logit_scale", 0.0625));
  RopeRules rules;
  rules.default_theta = default_theta;
  rules.interleaved = true;
  set_rope(graph, config, rules);
}

}  // namespace bitloom::arch
