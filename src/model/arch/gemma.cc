// Gemma 1: llama with (1 + w) norms and scaled embeddings.

#include "model/arch/parts.h"

namespace bitloom {
namespace {

/// The first releases say "gelu" and mean its tanh form, which is what they were trained with.
void check_activation(const ConfigReader& config) {
  const std::string key = config.has("hidden_activation") ? "hidden_activation" : "hidden_act";
  if (config.text(key, "gelu") == "gelu") return;
  if (arch::read_activation(config, key, "gelu") == Activation::kGeluTanh) return;
  config.refuse_value(key, "supported by this architecture: gelu_pytorch_tanh");
}

}  // namespace

Graph build_gemma(const Json& document, const std::string& origin, const TensorNames& names) {
  const ConfigReader config(document, origin);
  check_activation(config);
  arch::LlamaFamily family = arch::gemma_family(config);
  family.default_kv_heads = 16;
  family.default_positions = 8192;
  Graph graph = arch::build_llama_family(config, names, family);
  arch::require_uniform_layers(config, static_cast<int64_t>(graph.blocks.size()), false);
  arch::scale_embeddings(graph, config);
  arch::set_rope(graph, config);
  return graph;
}

}  // namespace bitloom
