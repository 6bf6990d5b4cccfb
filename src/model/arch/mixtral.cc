// Mixtral: mistral with a mixture of experts in every layer, whose weights of the chosen experts sum to one.

#include "model/arch/parts.h"

namespace bitloom {

Graph build_mixtral(const Json& document, const std::string& origin, const TensorNames& names) {
  const ConfigReader config(document, origin);
  config.refuse_if_set("attention_bias", "this architecture has no attention biases");
  arch::LlamaFamily family;
  family.activation = arch::read_activation(config, "hidden_act", "silu");
  family.default_eps = 1e-5;
  family.default_kv_heads = 8;
  family.default_positions = 4096 * 32;
  family.default_bos = {1};
  family.default_eos = {2};
  arch::ExpertFamily experts;
  experts.module = "block_sparse_moe.";
  experts.gate = "w1", experts.up = "w3", experts.down = "w2";
  experts.count = config.count("num_local_experts", 8);
  experts.choice.top_k = arch::read_top_k(config, experts.count, 2);
  experts.choice.normalized = true;
  experts.width = config.count("intermediate_size");
  family.experts = experts;
  Graph graph = arch::build_llama_family(config, names, family);
  const int64_t window = config.find_count("sliding_window").value_or(0);
  arch::require_uniform_layers(config, static_cast<int64_t>(graph.blocks.size()), window > 0);
  if (window > 0) arch::set_windows(graph, config, std::vector<bool>(graph.blocks.size(), true), window);
  RopeRules rules;
  rules.default_theta = 1e6;
  arch::set_rope(graph, config, rules);
  return graph;
}

}  // namespace bitloom
