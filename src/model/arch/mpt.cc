// MPT: biases linear in the distance in place of positions, no other biases.

#include "model/arch/parts.h"

namespace bitloom {
namespace {

void refuse_others(const ConfigReader& config) {
  if (!config.flag("no_bias", true)) config.refuse_value("no_bias", "biases are not supported");
  config.refuse_if_set("logit_scale", "scaled logits are not supported");
  if (config.count("expansion_ratio", 4) != 4) config.refuse_value("expansion_ratio", "supported: 4");
}

void refuse_other_attention(const ConfigReader& attn) {
  if (attn.text("attn_type", "multihead_attention") != "multihead_attention") {
    attn.refuse_value("attn_type", "supported: multihead_attention");
  }
  attn.refuse_if_set("qk_ln", "norms of queries and keys are not supported");
  attn.refuse_if_set("prefix_lm", "only causal attention is supported");
  if (!attn.flag("alibi", true)) attn.refuse_value("alibi", "learned positions are not supported");
  if (attn.count("alibi_bias_max", 8) != 8) attn.refuse_value("alibi_bias_max", "supported: 8");
}

}  // namespace

Graph build_mpt(const Json& document, const std::string& origin, const TensorNames& names) {
  const ConfigReader config(document, origin);
  refuse_others(config);
  const Json settings = config.object("attn_config");
  const ConfigReader attn(settings, origin, "attn_config.");
  refuse_other_attention(attn);
  arch::LlamaFamily family;
  family.prefixes = {"transformer.", ""};
  family.keys = {"d_model", "n_layers", "n_heads", "", "", "max_seq_len"};
  family.names.embedding = "wte", family.names.layers = "blocks.", family.names.final_norm = "norm_f";
  family.names.attention = "attn.", family.names.qkv = "Wqkv", family.names.output = "out_proj";
  family.names.mlp = "ffn.";
  family.names.attention_norm = "norm_1", family.names.mlp_norm = "norm_2";
  family.qkv = QkvLayout::kConcatenated;
  family.gated = false;
  family.norm = NormKind::kLayer;
  family.norm_bias = false;
  family.eps_key = "layer_norm_epsilon";
  family.default_eps = 1e-5;
  family.activation = Activation::kGelu;
  family.default_positions = 2048;
  family.tied_by_default = true;
  Graph graph = arch::build_llama_family(config, names, family);
  for (Block& block : graph.blocks) {
    Attention& attention = block.attention;
    attention.alibi = arch::alibi_slopes(attention.heads);
    attention.clip = static_cast<float>(attn.has("clip_qkv") ? attn.positive("clip_qkv") : 0.0);
    attention.scale = static_cast<float>(attn.number("softmax_scale", attention.scale));
  }
  return graph;
}

}  // namespace bitloom
