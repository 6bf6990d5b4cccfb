// BLOOM: biases linear in the distance in place of positions, a layer norm behind the embedding.

#include "model/arch/parts.h"

namespace bitloom {

Graph build_bloom(const Json& document, const std::string& origin, const TensorNames& names) {
  const ConfigReader config(document, origin);
  config.refuse_if_set("apply_residual_connection_post_layernorm", "residuals behind the norms are not supported");
  arch::LlamaFamily family;
  family.prefixes = {"transformer.", ""};
  family.keys = {arch::first_key(config, {"hidden_size", "n_embed"}),
                 arch::first_key(config, {"n_layer", "num_hidden_layers"}),
                 arch::first_key(config, {"n_head", "num_attention_heads"}),
                 "",
                 "",
                 "seq_length"};
  arch::name_megatron_parts(family.names);
  family.names.embedding_norm = "word_embeddings_layernorm";
  family.qkv = QkvLayout::kPerHead;
  family.qkv_bias = family.output_bias = family.mlp_bias = true;
  family.gated = false;
  family.norm = NormKind::kLayer;
  family.eps_key = "layer_norm_epsilon";
  family.default_eps = 1e-5;
  family.activation = Activation::kGeluTanh;
  family.default_positions = 2048;
  family.tied_by_default = true;
  family.default_bos = {1};
  family.default_eos = {2};
  Graph graph = arch::build_llama_family(config, names, family);
  for (Block& block : graph.blocks) block.attention.alibi = arch::alibi_slopes(block.attention.heads);
  return graph;
}

}  // namespace bitloom
