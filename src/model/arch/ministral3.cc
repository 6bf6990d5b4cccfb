// Ministral 3: mistral with yarn, and queries that grow with their position beyond the original context.

#include "model/arch/parts.h"

namespace bitloom {

Graph build_ministral3(const Json& document, const std::string& origin, const TensorNames& names) {
  const ConfigReader config(document, origin);
  arch::LlamaFamily family;
  family.prefixes = arch::text_prefixes();
  family.head = arch::text_head(names);
  family.activation = arch::read_activation(config, "hidden_act", "silu");
  family.default_eps = 1e-5;
  family.default_kv_heads = 8;
  family.default_head_dim = 128;
  family.default_positions = 262144;
  family.default_bos = {1};
  family.default_eos = {2};
  Graph graph = arch::build_llama_family(config, names, family);
  const auto layers = static_cast<int64_t>(graph.blocks.size());
  const int64_t window = config.find_count("sliding_window").value_or(0);
  arch::require_uniform_layers(config, layers, window > 0);
  if (window > 0) arch::set_windows(graph, config, std::vector<bool>(graph.blocks.size(), true), window);
  // The positions that the rope was trained on are those of the queries' scale too.
  const Json settings = config.object("rope_parameters");
  const ConfigReader rope(settings, config.origin(), "rope_parameters.");
  const QueryScale scale = {static_cast<float>(rope.number("llama_4_scaling_beta")),
                            rope.count("original_max_position_embeddings")};
  for (Block& block : graph.blocks) block.attention.query_scale = scale;
  RopeRules rules;
  rules.default_theta = 1e6;
  arch::set_rope(graph, config, rules);
  return graph;
}

}  // namespace bitloom
