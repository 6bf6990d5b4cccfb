// Command R7B and Command A: cohere with three local layers to a global one, which has no positions.

#include "model/arch/parts.h"

namespace bitloom {

Graph build_cohere2(const Json& document, const std::string& origin, const TensorNames& names) {
  const ConfigReader config(document, origin);
  config.refuse_if_set("use_qk_norm", "this architecture has no norms of queries and keys");
  Graph graph = arch::build_llama_family(config, names, arch::cohere_family(config));
  const auto layers = static_cast<int64_t>(graph.blocks.size());
  const int64_t pattern = config.count("sliding_window_pattern", 4);
  arch::set_windows(graph, config, arch::read_layer_types(config, layers, arch::not_last_of_pattern, pattern),
                    config.count("sliding_window", 4096));
  arch::set_cohere_rope(graph, config, 1e4);
  arch::rotate_local_layers_alone(graph);
  return graph;
}

}  // namespace bitloom
