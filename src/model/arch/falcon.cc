// Falcon: attention and MLP in parallel; one key head (7B), grouped ones (the new architecture), or as many as
// queries (RW); rope or linear biases.

#include "base/memory/dtype.h"
#include "model/arch/parts.h"

namespace bitloom {
namespace {

void name_norms(arch::PartNames& names, const ConfigReader& config, bool grouped, bool parallel) {
  const int64_t norms = config.count("num_ln_in_parallel_attn", grouped ? 2 : 1);
  if (!parallel) return;
  if (norms > 2 || (norms == 2 && !grouped)) {
    config.refuse_value("num_ln_in_parallel_attn", "supported: 1, and 2 with new_decoder_architecture");
  }
  if (norms == 2) names.attention_norm = "ln_attn", names.mlp_norm = "ln_mlp";
  if (norms == 1) names.mlp_norm = names.attention_norm;
}

/// Slopes are rounded to bf16, and scaled as scores are.
void set_biases(Graph& graph) {
  for (Block& block : graph.blocks) {
    Attention& attention = block.attention;
    attention.alibi = arch::alibi_slopes(attention.heads);
    for (float& slope : attention.alibi) slope = bf16_to_f32(f32_to_bf16(slope)) * attention.scale;
  }
}

}  // namespace

Graph build_falcon(const Json& document, const std::string& origin, const TensorNames& names) {
  const ConfigReader config(document, origin);
  const bool grouped = config.flag("new_decoder_architecture", false), one = config.flag("multi_query", true);
  const bool bias = config.flag("bias", false);
  arch::LlamaFamily family;
  family.prefixes = {"transformer.", ""};
  family.keys.hidden = arch::first_key(config, {"hidden_size", "n_embed"});
  family.keys.kv_heads = grouped ? "num_kv_heads" : "";
  family.keys.width = config.has("ffn_hidden_size") ? "ffn_hidden_size" : "";
  arch::name_megatron_parts(family.names);
  family.parallel = grouped || config.flag("parallel_attn", true);
  name_norms(family.names, config, grouped, family.parallel);
  family.qkv = grouped || !one ? QkvLayout::kPerHead : QkvLayout::kConcatenated;
  family.default_kv_heads = !grouped && one ? 1 : 0;
  family.qkv_bias = family.output_bias = family.mlp_bias = bias;
  family.gated = false;
  family.norm = NormKind::kLayer;
  family.eps_key = "layer_norm_epsilon";
  family.default_eps = 1e-5;
  family.activation = arch::read_activation(config, "activation", "gelu");
  family.default_positions = 2048;
  family.tied_by_default = true;
  family.default_bos = family.default_eos = {11};
  Graph graph = arch::build_llama_family(config, names, family);
  if (config.flag("alibi", false)) {
    set_biases(graph);
  } else {
    arch::set_rope(graph, config);
  }
  return graph;
}

}  // namespace bitloom
