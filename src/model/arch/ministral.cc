// Ministral (8B of 2024): mistral whose layers may differ by kind.

#include "model/arch/parts.h"

namespace bitloom {

Graph build_ministral(const Json& document, const std::string& origin, const TensorNames& names) {
  const ConfigReader config(document, origin);
  arch::LlamaFamily family;
  family.activation = arch::read_activation(config, "hidden_act", "silu");
  family.default_kv_heads = 8;
  family.default_positions = 4096 * 32;
  family.default_bos = {1};
  family.default_eos = {2};
  Graph graph = arch::build_llama_family(config, names, family);
  const auto layers = static_cast<int64_t>(graph.blocks.size());
  const int64_t window = arch::read_window(config, 4096);
  const auto all = [](int64_t, int64_t local) { return local != 0; };
  arch::set_windows(graph, config, arch::read_layer_types(config, layers, all, window > 0 ? 1 : 0), window);
  arch::set_rope(graph, config);
  return graph;
}

}  // namespace bitloom
