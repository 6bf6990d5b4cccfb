// GLM-4.5: the llama family with half of each head's channels turned, and experts as in deepseek_v3. The layer of
// multi-token prediction that checkpoints bring is left out.

#include "model/arch/parts.h"

namespace bitloom {

Graph build_glm4_moe(const Json& document, const std::string& origin, const TensorNames& names) {
  const ConfigReader config(document, origin);
  arch::LlamaFamily family;
  family.qkv_bias = config.flag("attention_bias", false);
  if (config.flag("use_qk_norm", false)) family.names.q_norm = "q_norm", family.names.k_norm = "k_norm";
  family.default_eps = 1e-5;
  family.activation = arch::read_activation(config, "hidden_act", "silu");
  family.default_kv_heads = 8;
  family.default_positions = 131072;
  arch::ExpertFamily experts = arch::deepseek_experts(config, 1, 128, 1, 1408, 1.0);
  arch::read_biased_choice(config, 1, 1, experts);
  family.experts = experts;
  Graph graph = arch::build_llama_family(config, names, family);
  arch::require_uniform_layers(config, static_cast<int64_t>(graph.blocks.size()), false);
  RopeRules rules;
  rules.default_partial = 0.5;
  rules.partial = true;
  arch::set_rope(graph, config, rules);
  return graph;
}

}  // namespace bitloom
