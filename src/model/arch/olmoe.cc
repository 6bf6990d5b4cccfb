// OLMoE: the llama family with a mixture in every layer; norms of q and k over the channels of all heads together.

#include "model/arch/parts.h"

namespace bitloom {

Graph build_olmoe(const Json& document, const std::string& origin, const TensorNames& names) {
  const ConfigReader config(document, origin);
  arch::LlamaFamily family;
  family.qkv_bias = family.output_bias = config.flag("attention_bias", false);
  family.names.q_norm = "q_norm", family.names.k_norm = "k_norm";
  family.head_norm = HeadNorm::kAllHeads;
  family.default_eps = 1e-5;
  family.activation = arch::read_activation(config, "hidden_act", "silu");
  family.default_positions = 4096;
  family.default_eos = {50279};
  arch::ExpertFamily experts;
  experts.count = config.count(config.has("num_experts") ? "num_experts" : "num_local_experts", 64);
  experts.width = config.count("intermediate_size", 2048);
  experts.choice.top_k = arch::read_top_k(config, experts.count, 8);
  experts.choice.normalized = config.flag("norm_topk_prob", false);
  family.experts = experts;
  Graph graph = arch::build_llama_family(config, names, family);
  arch::require_uniform_layers(config, static_cast<int64_t>(graph.blocks.size()), false);
  arch::set_rope(graph, config);
  return graph;
}

}  // namespace bitloom
