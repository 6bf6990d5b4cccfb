// Granite 3 with experts: the llama family with four multipliers; all experts of a layer in two tensors.

#include "model/arch/parts.h"

namespace bitloom {

Graph build_granitemoe(const Json& document, const std::string& origin, const TensorNames& names) {
  const ConfigReader config(document, origin);
  arch::LlamaFamily family;
  family.qkv_bias = family.output_bias = config.flag("attention_bias", false);
  family.activation = arch::read_activation(config, "hidden_act", "silu");
  family.default_positions = 2048;
  family.default_bos = {1};
  family.default_eos = {2};
  arch::ExpertFamily experts;
  experts.module = "block_sparse_moe.";
  experts.router = "router.layer";
  experts.count = config.count("num_local_experts", 8);
  experts.width = config.count("intermediate_size", 11008);
  experts.choice.top_k = arch::read_top_k(config, experts.count, 2);
  experts.choice.normalized = true;  // softmax over the chosen ones' outputs
  arch::StackedExperts stacked;
  stacked.gate_up = "input_linear.weight", stacked.down = "output_linear.weight";
  experts.stacked = stacked;
  family.experts = experts;
  Graph graph = arch::build_llama_family(config, names, family);
  arch::require_uniform_layers(config, static_cast<int64_t>(graph.blocks.size()), false);
  arch::set_granite_scales(graph, config);
  arch::set_rope(graph, config);
  return graph;
}

}  // namespace bitloom
