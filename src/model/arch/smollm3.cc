// SmolLM 3: llama without rotary positions in every fourth layer.

#include "model/arch/parts.h"

namespace bitloom {
namespace {

/// no_rope_layers says 1 for each layer with rotary positions and 0 for the others; without it every
/// no_rope_layer_interval-th has none.
void drop_ropes(Graph& graph, const ConfigReader& config) {
  const std::vector<double> rotated = config.numbers("no_rope_layers");
  if (!rotated.empty() && rotated.size() < graph.blocks.size()) {
    config.refuse_value("no_rope_layers", fmt::format("expected {} entries, one per layer", graph.blocks.size()));
  }
  const int64_t interval = config.count("no_rope_layer_interval", 4);
  for (size_t i = 0; i < graph.blocks.size(); ++i) {
    const bool keeps =
        rotated.empty() ? arch::not_last_of_pattern(static_cast<int64_t>(i), interval) : rotated[i] != 0.0;
    if (!keeps) graph.blocks[i].attention.rope = -1;
  }
}

}  // namespace

Graph build_smollm3(const Json& document, const std::string& origin, const TensorNames& names) {
  const ConfigReader config(document, origin);
  const bool bias = config.flag("attention_bias", false);
  arch::LlamaFamily family;
  family.qkv_bias = family.output_bias = bias;
  family.mlp_bias = config.flag("mlp_bias", false);
  family.activation = arch::read_activation(config, "hidden_act", "silu");
  family.default_kv_heads = 4;
  family.default_positions = 32768;
  family.tied_by_default = true;
  family.default_bos = {128000};
  family.default_eos = {128001};
  Graph graph = arch::build_llama_family(config, names, family);
  RopeRules rules;
  rules.default_theta = 2e6;
  arch::set_rope(graph, config, rules);
  drop_ropes(graph, config);
  // Without a list of kinds, layers without positions are those with a window.
  const auto layers = static_cast<int64_t>(graph.blocks.size());
  const int64_t window = config.flag("use_sliding_window", false) ? config.find_count("sliding_window").value_or(0) : 0;
  std::vector<bool> local = arch::read_layer_types(
      config, layers, [](int64_t, int64_t) { return false; }, 0);
  for (size_t i = 0; config.texts("layer_types").empty() && window > 0 && i < local.size(); ++i) {
    local[i] = graph.blocks[i].attention.rope < 0;
  }
  arch::set_windows(graph, config, local, window);
  return graph;
}

}  // namespace bitloom
