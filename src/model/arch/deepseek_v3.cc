// DeepSeek-V3 and R1: deepseek_v2 with sigmoid scores, a bias for the choice of experts, and their weights scaled. The
// layers of multi-token prediction that checkpoints bring are left out.

#include "model/arch/parts.h"

namespace bitloom {

Graph build_deepseek_v3(const Json& document, const std::string& origin, const TensorNames& names) {
  const ConfigReader config(document, origin);
  arch::LlamaFamily family;
  family.activation = arch::read_activation(config, "hidden_act", "silu");
  family.default_positions = 4096;
  family.default_bos = {0};
  family.default_eos = {1};
  family.latent = arch::read_latent_family(config);
  if (config.text("scoring_func", "sigmoid") != "sigmoid") config.refuse_value("scoring_func", "supported: sigmoid");
  if (config.text("topk_method", "noaux_tc") != "noaux_tc") config.refuse_value("topk_method", "supported: noaux_tc");
  if (config.count("moe_layer_freq", 1) != 1) config.refuse_value("moe_layer_freq", "supported: 1");
  arch::ExpertFamily experts = arch::deepseek_experts(config, 3, 256, 1, 2048, 2.5);
  arch::read_biased_choice(config, 8, 4, experts);
  family.experts = experts;
  Graph graph = arch::build_llama_family(config, names, family);
  arch::require_uniform_layers(config, static_cast<int64_t>(graph.blocks.size()), false);
  arch::set_latent_rope(graph, config, config.flag("rope_interleave", true));
  return graph;
}

}  // namespace bitloom
