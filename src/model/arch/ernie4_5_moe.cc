// ERNIE 4.5 with experts: the llama family with neighbouring channels turned in pairs; experts, chosen by softmax and a
// bias, beside shared ones in some of the layers.

#include "model/arch/parts.h"

namespace bitloom {
namespace {

arch::ExpertFamily ernie_experts(const ConfigReader& config) {
  arch::ExpertFamily experts;
  experts.count = config.count("moe_num_experts", 64);
  experts.width = config.count("moe_intermediate_size", 1536);
  experts.choice.top_k = arch::read_top_k(config, experts.count, 6, "moe_k");
  experts.choice.normalized = true;
  experts.choice.least_sum = static_cast<float>(config.number("moe_norm_min", 1e-12));
  experts.choice_bias = "gate.e_score_correction_bias";
  experts.shared = "shared_experts";
  experts.shared_gate = false;
  experts.shared_width = experts.width * arch::count_or_zero(config, "moe_num_shared_experts", 2);
  experts.first_layer = arch::count_or_zero(config, "moe_layer_start_index", 1);
  const double last = config.number("moe_layer_end_index", -1.0);
  experts.last_layer = last < 0 ? -1 : arch::count_or_zero(config, "moe_layer_end_index", 0);
  experts.sparse_step = config.count("moe_layer_interval", 1);
  return experts;
}

/// Checkpoints hold the bias as [1, experts] under a name of its own.
void place_choice_biases(Graph& graph, int64_t count) {
  for (const Block& block : graph.blocks) {
    if (!block.experts.present()) continue;
    const std::string& name = block.experts.choice_bias;
    const std::string module = name.substr(0, name.rfind("gate."));
    graph.slices[name] = {module + "moe_statics.e_score_correction_bias", {1, count}, 0, 0, 1, count};
  }
}

}  // namespace

Graph build_ernie4_5_moe(const Json& document, const std::string& origin, const TensorNames& names) {
  const ConfigReader config(document, origin);
  config.refuse_if_set("use_bias", "biases of this architecture are not supported");
  arch::LlamaFamily family;
  family.default_eps = 1e-5;
  family.activation = arch::read_activation(config, "hidden_act", "silu");
  family.default_kv_heads = 4;
  family.default_positions = 131072;
  family.tied_by_default = true;
  family.default_bos = {1};
  family.default_eos = {2};
  family.experts = ernie_experts(config);
  Graph graph = arch::build_llama_family(config, names, family);
  place_choice_biases(graph, family.experts->count);
  arch::require_uniform_layers(config, static_cast<int64_t>(graph.blocks.size()), false);
  RopeRules rules;
  rules.default_theta = 5e5;
  rules.interleaved = true;
  arch::set_rope(graph, config, rules);
  return graph;
}

}  // namespace bitloom
