// Qwen 3 with experts: qwen3 with a mixture in most layers, no shared expert.

#include "model/arch/parts.h"

namespace bitloom {

Graph build_qwen3_moe(const Json& document, const std::string& origin, const TensorNames& names) {
  const ConfigReader config(document, origin);
  const bool bias = config.flag("attention_bias", false);
  arch::LlamaFamily family;
  family.qkv_bias = bias;
  family.output_bias = bias;
  family.names.q_norm = "q_norm", family.names.k_norm = "k_norm";
  family.activation = arch::read_activation(config, "hidden_act", "silu");
  family.default_kv_heads = 4;
  family.default_positions = 32768;
  family.experts = arch::qwen_experts(config, 128, 8, 768);
  Graph graph = arch::build_llama_family(config, names, family);
  // One window for all layers, where it is asked for.
  const int64_t window = config.flag("use_sliding_window", false) ? arch::read_window(config, 4096) : 0;
  arch::require_uniform_layers(config, static_cast<int64_t>(graph.blocks.size()), window > 0);
  if (window > 0) arch::set_windows(graph, config, std::vector<bool>(graph.blocks.size(), true), window);
  arch::set_rope(graph, config);
  return graph;
}

}  // namespace bitloom
