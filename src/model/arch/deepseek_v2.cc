// DeepSeek-V2: the llama family with latent attention; experts beside shared ones after some dense layers, chosen by
// softmax, of all or of the best groups.

#include "model/arch/parts.h"

namespace bitloom {
namespace {

arch::ExpertFamily deepseek_v2_experts(const ConfigReader& config) {
  arch::ExpertFamily experts = arch::deepseek_experts(config, 0, 64, 2, 1407, 1.0);
  experts.choice.top_k = arch::read_top_k(config, experts.count, 0);
  // transformers leaves the weights as they are, the published code normalizes them.
  config.refuse_if_set("norm_topk_prob", "weights that sum to one are not supported here");
  if (config.text("scoring_func", "softmax") != "softmax") config.refuse_value("scoring_func", "supported: softmax");
  if (config.count("moe_layer_freq", 1) != 1) config.refuse_value("moe_layer_freq", "supported: 1");
  const std::string method = config.text("topk_method", "greedy");
  if (method == "group_limited_greedy") {
    arch::read_groups(config, 1, 1, experts.count, experts.choice);
  } else if (method != "greedy") {
    config.refuse_value("topk_method", "supported: greedy, group_limited_greedy");
  }
  return experts;
}

}  // namespace

Graph build_deepseek_v2(const Json& document, const std::string& origin, const TensorNames& names) {
  const ConfigReader config(document, origin);
  config.refuse_if_set("mlp_bias", "biases of MLPs are not supported");
  arch::LlamaFamily family;
  family.activation = arch::read_activation(config, "hidden_act", "silu");
  family.default_positions = 2048;
  family.default_bos = {1};
  family.default_eos = {2};
  family.latent = arch::read_latent_family(config);
  family.experts = deepseek_v2_experts(config);
  Graph graph = arch::build_llama_family(config, names, family);
  arch::require_uniform_layers(config, static_cast<int64_t>(graph.blocks.size()), false);
  arch::set_latent_rope(graph, config, true);
  return graph;
}

}  // namespace bitloom
