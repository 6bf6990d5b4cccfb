// AFM (Arcee): llama with a squared ReLU in place of the gated MLP.

#include "model/arch/parts.h"

namespace bitloom {

Graph build_arcee(const Json& document, const std::string& origin, const TensorNames& names) {
  const ConfigReader config(document, origin);
  arch::LlamaFamily family;
  family.qkv_bias = family.output_bias = config.flag("attention_bias", false);
  family.mlp_bias = config.flag("mlp_bias", false);
  family.gated = false;
  family.default_eps = 1e-5;
  family.activation = arch::read_activation(config, "hidden_act", "relu2");
  family.default_positions = 4096;
  family.default_bos = {128000};
  family.default_eos = {128001};
  Graph graph = arch::build_llama_family(config, names, family);
  arch::set_rope(graph, config);
  return graph;
}

}  // namespace bitloom
