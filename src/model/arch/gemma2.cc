// Gemma 2: four norms a block, soft-capped scores and logits, every other layer local (layer 0 is).

#include "model/arch/parts.h"

namespace bitloom {
namespace {

bool even_layer(int64_t layer, int64_t) { return layer % 2 == 0; }

}  // namespace

Graph build_gemma2(const Json& document, const std::string& origin, const TensorNames& names) {
  const ConfigReader config(document, origin);
  arch::LlamaFamily family = arch::gemma_family(config);
  arch::name_four_norms(family.names);
  family.activation = arch::read_activation(config, "hidden_activation", "gelu_pytorch_tanh");
  family.default_kv_heads = 4;
  family.default_positions = 8192;
  Graph graph = arch::build_llama_family(config, names, family);
  const auto layers = static_cast<int64_t>(graph.blocks.size());
  arch::set_windows(graph, config, arch::read_layer_types(config, layers, even_layer, 0),
                    config.count("sliding_window", 4096));
  arch::scale_embeddings(graph, config);
  arch::set_gemma_scores(graph, config, 50.0, 30.0);
  arch::set_rope(graph, config);
  return graph;
}

}  // namespace bitloom
