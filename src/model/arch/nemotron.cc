// Nemotron 4 and Minitron: layer norms that multiply by 1 + w, squared ReLU without a gate, half of each head rotated.

#include "model/arch/parts.h"

namespace bitloom {

Graph build_nemotron(const Json& document, const std::string& origin, const TensorNames& names) {
  const ConfigReader config(document, origin);
  arch::LlamaFamily family;
  family.qkv_bias = family.output_bias = config.flag("attention_bias", false);
  family.mlp_bias = config.flag("mlp_bias", false);
  family.gated = false;
  family.norm = NormKind::kLayerPlusOne;
  family.eps_key = "norm_eps";
  family.default_eps = 1e-5;
  family.activation = arch::read_activation(config, "hidden_act", "relu2");
  family.default_positions = 4096;
  family.default_bos = {2};
  family.default_eos = {3};
  Graph graph = arch::build_llama_family(config, names, family);
  RopeRules rules;
  rules.partial = true;
  rules.default_partial = 0.5;
  arch::set_rope(graph, config, rules);
  return graph;
}

}  // namespace bitloom
