// LLaMA 1 to 3, and everything published under model_type "llama".

#include "model/arch/parts.h"

namespace bitloom {

Graph build_llama(const Json& document, const std::string& origin, const TensorNames& names) {
  const ConfigReader config(document, origin);
  const bool bias = config.flag("attention_bias", false);
  arch::LlamaFamily family;
  family.qkv_bias = bias;
  family.output_bias = bias;
  family.mlp_bias = config.flag("mlp_bias", false);
  family.activation = arch::read_activation(config, "hidden_act", "silu");
  family.default_positions = 2048;
  family.default_bos = {1};
  family.default_eos = {2};
  Graph graph = arch::build_llama_family(config, names, family);
  arch::require_uniform_layers(config, static_cast<int64_t>(graph.blocks.size()), false);
  arch::set_rope(graph, config);
  return graph;
}

}  // namespace bitloom
