// GPT-J: attention and MLP in parallel behind one layer norm; the first channels of each head rotated, in interleaved
// pairs.

#include "model/arch/parts.h"

namespace bitloom {

Graph build_gptj(const Json& document, const std::string& origin, const TensorNames& names) {
  const ConfigReader config(document, origin);
  if (config.contains("rotary_dim") && !config.has("rotary_dim")) {
    config.refuse_value("rotary_dim", "expected a number of channels");
  }
  arch::LlamaFamily family;
  family.prefixes = {"transformer.", ""};
  family.keys = {"n_embd", "n_layer", "n_head", "", config.has("n_inner") ? "n_inner" : "", "n_positions"};
  family.names.embedding = "wte", family.names.layers = "h.", family.names.final_norm = "ln_f";
  family.names.attention = "attn.", family.names.output = "out_proj";
  family.names.up = "fc_in", family.names.down = "fc_out";
  family.names.attention_norm = family.names.mlp_norm = "ln_1";
  family.mlp_bias = family.head_bias = true;
  family.parallel = true;
  family.gated = false;
  family.norm = NormKind::kLayer;
  family.eps_key = "layer_norm_epsilon";
  family.default_eps = 1e-5;
  family.activation = arch::read_activation(config, "activation_function", "gelu_new");
  family.default_positions = 2048;
  family.default_bos = family.default_eos = {50256};
  Graph graph = arch::build_llama_family(config, names, family);
  RopeRules rules;
  rules.rotated = config.count("rotary_dim", 64);
  rules.interleaved = true;
  arch::set_rope(graph, config, rules);
  return graph;
}

}  // namespace bitloom
