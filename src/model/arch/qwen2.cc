// Qwen 1.5, 2 and 2.5: llama with biases on q, k and v, and windows on the upper layers where asked for.

#include "model/arch/parts.h"

namespace bitloom {

Graph build_qwen2(const Json& document, const std::string& origin, const TensorNames& names) {
  const ConfigReader config(document, origin);
  config.refuse_if_set("use_mrope", "multimodal rotary positions are not supported");
  if (!config.flag("attention_bias", true)) {
    config.refuse_value("attention_bias", "but this architecture has biases on q, k and v");
  }
  arch::LlamaFamily family;
  family.qkv_bias = true;
  family.activation = arch::read_activation(config, "hidden_act", "silu");
  family.default_kv_heads = 32;
  family.default_positions = 32768;
  Graph graph = arch::build_llama_family(config, names, family);
  arch::set_upper_windows(graph, config);
  arch::set_rope(graph, config);
  return graph;
}

}  // namespace bitloom
