// Gemma 3, text: gemma2 with q/k norms, five local layers to a global one, and a rotary embedding for each kind.
// model_type "gemma3_text", or "gemma3" whose vision tower is left aside and whose text model lies under text_config.

#include "model/arch/parts.h"

namespace bitloom {
namespace {

/// Every token sees those behind it as well; a window of 2 (w - 1) positions reaches w - 1 to either side.
void make_bidirectional(Graph& graph) {
  for (Block& block : graph.blocks) {
    block.attention.mask = Mask::kBidirectional;
    if (block.attention.window > 0) block.attention.window = block.attention.window / 2 + 1;
  }
}

Graph build_text(const ConfigReader& config, const TensorNames& names) {
  arch::LlamaFamily family = arch::gemma_family(config);
  family.prefixes = arch::text_prefixes();
  family.head = arch::text_head(names);
  arch::name_four_norms(family.names);
  family.names.q_norm = "q_norm", family.names.k_norm = "k_norm";
  family.activation = arch::read_activation(config, "hidden_activation", "gelu_pytorch_tanh");
  family.default_kv_heads = 4;
  family.default_positions = 131072;
  Graph graph = arch::build_llama_family(config, names, family);
  const auto layers = static_cast<int64_t>(graph.blocks.size());
  const int64_t pattern = config.count("sliding_window_pattern", 6);
  arch::set_windows(graph, config, arch::read_layer_types(config, layers, arch::not_last_of_pattern, pattern),
                    config.count("sliding_window", 4096));
  if (config.flag("use_bidirectional_attention", false)) make_bidirectional(graph);
  arch::scale_embeddings(graph, config);
  arch::set_gemma_scores(graph, config, std::nullopt, std::nullopt);
  arch::set_ropes_by_kind(graph, config, {"rope_theta", 1e6}, {"rope_local_base_freq", 1e4});
  return graph;
}

// Files of the 4B to 27B models leave out what equals the class defaults.
const Json kTextDefaults = {{"vocab_size", 262208},
                            {"hidden_size", 2304},
                            {"intermediate_size", 9216},
                            {"num_hidden_layers", 26},
                            {"num_attention_heads", 8}};

}  // namespace

Graph build_gemma3(const Json& document, const std::string& origin, const TensorNames& names) {
  const ConfigReader outer(document, origin);
  if (!outer.has("text_config")) return build_text(outer, names);
  const Json text = arch::text_document(outer, kTextDefaults);
  const ConfigReader config(text, origin, "text_config.");
  arch::refuse_unsupported(config);
  return build_text(config, names);
}

}  // namespace bitloom
