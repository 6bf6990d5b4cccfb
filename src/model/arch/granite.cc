// Granite 3: llama with multipliers of embeddings, scores, residuals and logits.

#include "model/arch/parts.h"

namespace bitloom {

Graph build_granite(const Json& document, const std::string& origin, const TensorNames& names) {
  const ConfigReader config(document, origin);
  arch::LlamaFamily family;
  family.qkv_bias = family.output_bias = config.flag("attention_bias", false);
  family.mlp_bias = config.flag("mlp_bias", false);
  family.activation = arch::read_activation(config, "hidden_act", "silu");
  family.default_positions = 2048;
  family.default_bos = {1};
  family.default_eos = {2};
  Graph graph = arch::build_llama_family(config, names, family);
  arch::set_granite_scales(graph, config);
  arch::set_rope(graph, config);
  return graph;
}

}  // namespace bitloom
