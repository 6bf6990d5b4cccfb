// Qwen 3 (dense): llama with RMS norms on each head's q and k, and heads of their own width.

#include "model/arch/parts.h"

namespace bitloom {

Graph build_qwen3(const Json& document, const std::string& origin, const TensorNames& names) {
  const ConfigReader config(document, origin);
  const bool bias = config.flag("attention_bias", false);
  arch::LlamaFamily family;
  family.qkv_bias = bias;
  family.output_bias = bias;
  family.names.q_norm = "q_norm", family.names.k_norm = "k_norm";
  family.activation = arch::read_activation(config, "hidden_act", "silu");
  family.default_kv_heads = 32;
  family.default_head_dim = 128;
  family.default_positions = 32768;
  Graph graph = arch::build_llama_family(config, names, family);
  arch::set_upper_windows(graph, config);
  arch::set_rope(graph, config);
  return graph;
}

}  // namespace bitloom
