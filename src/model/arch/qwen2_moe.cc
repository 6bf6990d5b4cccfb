// Qwen 1.5 and 2 with experts: qwen2 with a mixture in most layers, beside it a shared expert behind a sigmoid gate.

#include "model/arch/parts.h"

namespace bitloom {

Graph build_qwen2_moe(const Json& document, const std::string& origin, const TensorNames& names) {
  const ConfigReader config(document, origin);
  // Releases of transformers disagree on which layers are local then.
  config.refuse_if_set("use_sliding_window", "sliding windows of this architecture are not supported");
  arch::LlamaFamily family;
  family.qkv_bias = config.flag("qkv_bias", true);
  family.activation = arch::read_activation(config, "hidden_act", "silu");
  family.default_kv_heads = 16;
  family.default_positions = 32768;
  arch::ExpertFamily experts = arch::qwen_experts(config, 60, 4, 1408);
  experts.shared_width = config.count("shared_expert_intermediate_size", 5632);
  family.experts = experts;
  Graph graph = arch::build_llama_family(config, names, family);
  arch::require_uniform_layers(config, static_cast<int64_t>(graph.blocks.size()), false);
  arch::set_rope(graph, config);
  return graph;
}

}  // namespace bitloom
