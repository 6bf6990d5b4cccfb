// OLMo 3: olmo2 with three local layers to a global one, and a rotary embedding for each kind.

#include "model/arch/parts.h"

namespace bitloom {

Graph build_olmo3(const Json& document, const std::string& origin, const TensorNames& names) {
  const ConfigReader config(document, origin);
  const arch::LlamaFamily family = arch::olmo2_family(config);
  Graph graph = arch::build_llama_family(config, names, family);
  const auto layers = static_cast<int64_t>(graph.blocks.size());
  arch::set_windows(graph, config, arch::read_layer_types(config, layers, arch::not_last_of_pattern, 4),
                    config.count("sliding_window", 4096));
  arch::set_ropes_by_kind(graph, config, {"rope_theta", 5e5}, {"rope_theta", 5e5});
  return graph;
}

}  // namespace bitloom
