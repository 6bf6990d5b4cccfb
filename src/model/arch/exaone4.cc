// EXAONE 4: norms behind attention and MLP and on each head of q and k; global layers among local ones have no
// positions.

#include "model/arch/parts.h"

namespace bitloom {

Graph build_exaone4(const Json& document, const std::string& origin, const TensorNames& names) {
  const ConfigReader config(document, origin);
  arch::LlamaFamily family;
  arch::name_norms_behind(family.names);
  family.names.q_norm = "q_norm", family.names.k_norm = "k_norm";
  family.default_eps = 1e-5;
  family.activation = arch::read_activation(config, "hidden_act", "silu");
  family.default_kv_heads = 32;
  family.default_positions = 2048;
  family.default_bos = {0};
  family.default_eos = {2};
  Graph graph = arch::build_llama_family(config, names, family);
  arch::set_rope(graph, config);
  const auto layers = static_cast<int64_t>(graph.blocks.size());
  const int64_t window = arch::read_window(config, 4096);
  if (window == 0) {
    arch::require_uniform_layers(config, layers, false);
    return graph;
  }
  // The key may hold a text ("LLLG") beside layer_types, which decides.
  const bool listed = !config.texts("layer_types").empty();
  const int64_t pattern = listed ? 0 : config.count("sliding_window_pattern", 4);
  arch::set_windows(graph, config, arch::read_layer_types(config, layers, arch::not_last_of_pattern, pattern), window);
  arch::rotate_local_layers_alone(graph);
  return graph;
}

}  // namespace bitloom
