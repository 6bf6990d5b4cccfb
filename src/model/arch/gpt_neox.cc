// GPT-NeoX and Pythia: attention and MLP in parallel, each with its LayerNorm; q, k and v interleaved per head; a
// quarter of each head rotated.

#include <cmath>

#include "base/error.h"
#include "model/arch/parts.h"

namespace bitloom {
namespace {

Block build_block(const std::string& name, int64_t hidden, int64_t width, const arch::HeadShape& shape, bool bias) {
  Block block;
  block.attention_norm = arch::affine_norm(name + "input_layernorm");
  block.mlp_norm = arch::affine_norm(name + "post_attention_layernorm");
  Attention& attention = block.attention;
  attention.layout = QkvLayout::kPerHead;
  AttentionLinears projections;
  projections.q = arch::make_linear(name + "attention.query_key_value", 3 * hidden, hidden, bias);
  projections.output = arch::make_linear(name + "attention.dense", hidden, hidden, bias);
  connect_attention(block, projections);
  attention.heads = shape.heads;
  attention.kv_heads = shape.kv_heads;
  attention.head_dim = shape.head_dim;
  attention.scale = static_cast<float>(1.0 / std::sqrt(static_cast<double>(shape.head_dim)));
  MlpLinears mlp;
  mlp.up = arch::make_linear(name + "mlp.dense_h_to_4h", width, hidden, true);
  mlp.down = arch::make_linear(name + "mlp.dense_4h_to_h", hidden, width, true);
  connect_mlp(block, mlp);
  return block;
}

}  // namespace

Graph build_gpt_neox(const Json& document, const std::string& origin, const TensorNames& names) {
  const ConfigReader config(document, origin);
  const std::string prefix = arch::find_prefix(names, {"gpt_neox.", ""}, "embed_in.weight");
  Graph graph;
  graph.vocab_size = config.count("vocab_size");
  graph.hidden = config.count("hidden_size");
  graph.max_positions = config.count("max_position_embeddings", 2048);
  graph.embedding = prefix + "embed_in.weight";
  graph.norm = NormKind::kLayer;
  graph.norm_eps = static_cast<float>(config.positive("layer_norm_eps", 1e-5));
  const arch::HeadShape shape = arch::equal_heads(config, "num_attention_heads", graph.hidden);
  const int64_t layers = arch::read_layers(config, "num_hidden_layers"), width = config.count("intermediate_size");
  const bool bias = config.flag("attention_bias", true), parallel = config.flag("use_parallel_residual", true);
  const Activation activation = arch::read_activation(config, "hidden_act", "gelu");
  for (int64_t i = 0; i < layers; ++i) {
    Block block = build_block(fmt::format("{}layers.{}.", prefix, i), graph.hidden, width, shape, bias);
    block.mlp.activation = activation;
    block.parallel = parallel;
    graph.blocks.push_back(std::move(block));
  }
  graph.final_norm = arch::affine_norm(prefix + "final_layer_norm");
  // Newer exports name the head as other architectures do.
  arch::set_head(graph, config, names.has("embed_out.weight") ? "embed_out" : "lm_head", false);
  graph.bos_ids = config.ids("bos_token_id", {0});
  graph.eos_ids = config.ids("eos_token_id", {2});
  RopeRules rules;
  rules.theta_key = "rotary_emb_base";
  rules.partial_key = "rotary_pct";
  rules.default_partial = 0.25;
  rules.partial = true;
  arch::set_rope(graph, config, rules);
  return graph;
}

}  // namespace bitloom
