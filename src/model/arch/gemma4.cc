// Gemma 4, dense text models: gemma3 with plain norms, normed values, heads of their own in global layers, whose values
// may be their keys, and a scale behind each block. model_type "gemma4_text", or "gemma4" around text_config.

#include "base/error.h"
#include "model/arch/parts.h"

namespace bitloom {
namespace {

void refuse_what_lacks(const ConfigReader& config) {
  if (!config.has("rope_parameters")) refuse("{}: key 'rope_parameters' is missing", config.origin());
  config.refuse_if_set("enable_moe_block", "experts beside an MLP are not supported");
  config.refuse_if_set("num_kv_shared_layers", "keys and values shared between layers are not supported");
  // Of images alone, which no text has.
  if (config.text("use_bidirectional_attention", "vision") != "vision") {
    config.refuse_value("use_bidirectional_attention", "only causal attention is supported");
  }
  if (config.number("hidden_size_per_layer_input", 256.0) != 0.0) {
    config.refuse_if_set("hidden_size_per_layer_input", "embeddings of each layer are not supported");
    refuse("{}: 'hidden_size_per_layer_input' is missing, which means 256; supported: 0", config.origin());
  }
}

/// Heads of a layer: per_layer_config, whose keys are the layers' numbers; older files have keys for all global layers.
arch::HeadShape heads_of(const ConfigReader& config, int64_t layer, arch::HeadShape shape, bool local, bool shared) {
  const Json layers = config.object("per_layer_config");
  const std::string name = fmt::format("{}", layer);
  const Json own = ConfigReader(layers, config.origin(), "per_layer_config.").object(name);
  const ConfigReader reader(own, config.origin(), "per_layer_config." + name + ".");
  if (config.has("per_layer_config")) {
    shape.head_dim = reader.count("head_dim", shape.head_dim);
    shape.kv_heads = reader.count("num_key_value_heads", shape.kv_heads);
  } else if (!local) {
    shape.head_dim = config.count("global_head_dim", 512);
    if (shared) shape.kv_heads = config.count("num_global_key_value_heads", shape.kv_heads);
  }
  if (shape.heads % shape.kv_heads != 0) config.refuse_value("num_attention_heads", "no multiple of the key heads");
  return shape;
}

Graph build_gemma4_text(const ConfigReader& config, const TensorNames& names) {
  refuse_what_lacks(config);
  arch::LlamaFamily family = arch::gemma_family(config);
  family.prefixes = arch::text_prefixes();
  family.head = arch::text_head(names);
  family.norm = NormKind::kRms;
  arch::name_four_norms(family.names);
  family.names.q_norm = "q_norm", family.names.k_norm = "k_norm";
  family.activation = arch::read_activation(config, "hidden_activation", "gelu_pytorch_tanh");
  family.default_kv_heads = 4;
  family.default_positions = 131072;
  const int64_t layers = arch::read_layers(config, "num_hidden_layers");
  std::vector<bool> local = arch::read_layer_types(config, layers, arch::not_last_of_pattern, 6);
  local.back() = false;  // as transformers has it, whatever the list says
  const bool shared = config.flag("attention_k_eq_v", false);
  const arch::HeadShape usual = arch::read_heads(config, config.count("hidden_size"), family);
  for (int64_t i = 0; i < layers; ++i) {
    const bool is_local = local[static_cast<size_t>(i)];
    family.layer_heads.push_back(heads_of(config, i, usual, is_local, shared));
    family.keys_are_values.push_back(shared && !is_local);
  }
  Graph graph = arch::build_llama_family(config, names, family);
  arch::set_windows(graph, config, local, config.count("sliding_window", 512));
  arch::scale_embeddings(graph, config);
  arch::set_gemma_scores(graph, config, std::nullopt, std::nullopt);
  const std::string prefix = arch::find_prefix(names, family.prefixes, "embed_tokens.weight");
  for (size_t i = 0; i < graph.blocks.size(); ++i) {
    graph.blocks[i].attention.scale = 1.0f;
    graph.blocks[i].attention.norm_values = true;
    graph.blocks[i].output_scale = fmt::format("{}layers.{}.layer_scalar", prefix, i);
  }
  arch::set_ropes_by_kind(graph, config, {"rope_theta", 1e6}, {"rope_local_base_freq", 1e4});
  return graph;
}

}  // namespace

Graph build_gemma4(const Json& document, const std::string& origin, const TensorNames& names) {
  const ConfigReader outer(document, origin);
  if (!outer.has("text_config")) return build_gemma4_text(outer, names);
  const Json text = arch::text_document(outer, {});
  const ConfigReader config(text, origin, "text_config.");
  arch::refuse_unsupported(config);
  return build_gemma4_text(config, names);
}

}  // namespace bitloom
