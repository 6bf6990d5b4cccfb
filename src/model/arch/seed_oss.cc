// Seed-OSS: llama with biases on q, k and v, and heads of their own width.

#include "model/arch/parts.h"

namespace bitloom {

Graph build_seed_oss(const Json& document, const std::string& origin, const TensorNames& names) {
  const ConfigReader config(document, origin);
  arch::LlamaFamily family;
  family.qkv_bias = config.flag("attention_bias", true);
  family.output_bias = config.flag("attention_out_bias", false);
  family.mlp_bias = config.flag("mlp_bias", false);
  family.activation = arch::read_activation(config, "hidden_act", "silu");
  family.default_kv_heads = 8;
  family.default_head_dim = 128;
  family.default_positions = 524288;
  family.default_bos = {0};
  family.default_eos = {2};
  Graph graph = arch::build_llama_family(config, names, family);
  arch::require_uniform_layers(config, static_cast<int64_t>(graph.blocks.size()), false);
  arch::set_rope(graph, config);
  return graph;
}

}  // namespace bitloom
