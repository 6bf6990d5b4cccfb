// GPT-2: learned positions, one fused projection, weights stored [in, out].

#include <cmath>

#include "base/error.h"
#include "model/arch/parts.h"

namespace bitloom {
namespace {

/// transformers' Conv1D stores the transpose of a linear layer's weight.
Linear conv1d(const std::string& name, int64_t out, int64_t in) {
  Linear linear = arch::make_linear(name, out, in, true);
  linear.stored_in_out = true;
  return linear;
}

Block build_block(const std::string& name, int64_t hidden, int64_t width, const arch::HeadShape& shape,
                  Activation activation) {
  Block block;
  block.attention_norm = arch::affine_norm(name + "ln_1");
  block.mlp_norm = arch::affine_norm(name + "ln_2");
  block.attention.layout = QkvLayout::kConcatenated;
  AttentionLinears projections;
  projections.q = conv1d(name + "attn.c_attn", 3 * hidden, hidden);
  projections.output = conv1d(name + "attn.c_proj", hidden, hidden);
  connect_attention(block, projections);
  block.attention.heads = shape.heads;
  block.attention.kv_heads = shape.kv_heads;
  block.attention.head_dim = shape.head_dim;
  block.mlp.activation = activation;
  MlpLinears mlp;
  mlp.up = conv1d(name + "mlp.c_fc", width, hidden);
  mlp.down = conv1d(name + "mlp.c_proj", hidden, width);
  connect_mlp(block, mlp);
  return block;
}

/// Scores are scaled by head_dim^-0.5, and by 1 / (layer + 1) where the config says so.
float score_scale(const ConfigReader& config, int64_t head_dim, int64_t layer) {
  double scale = 1.0;
  if (config.flag("scale_attn_weights", true)) scale /= std::sqrt(static_cast<double>(head_dim));
  if (config.flag("scale_attn_by_inverse_layer_idx", false)) scale /= static_cast<double>(layer + 1);
  return static_cast<float>(scale);
}

}  // namespace

Graph build_gpt2(const Json& document, const std::string& origin, const TensorNames& names) {
  const ConfigReader config(document, origin);
  const std::string prefix = arch::find_prefix(names, {"transformer.", ""}, "wte.weight");
  Graph graph;
  graph.vocab_size = config.count("vocab_size");
  graph.hidden = config.count("n_embd");
  graph.max_positions = config.count("n_positions", config.count("n_ctx", 1024));
  graph.embedding = prefix + "wte.weight";
  graph.position_embedding = prefix + "wpe.weight";
  graph.norm = NormKind::kLayer;
  graph.norm_eps = static_cast<float>(config.positive("layer_norm_epsilon", 1e-5));
  const arch::HeadShape shape = arch::equal_heads(config, "n_head", graph.hidden);
  const int64_t width = config.count("n_inner", 4 * graph.hidden);
  const Activation activation = arch::read_activation(config, "activation_function", "gelu_new");
  const int64_t layers = arch::read_layers(config, "n_layer");
  for (int64_t i = 0; i < layers; ++i) {
    graph.blocks.push_back(build_block(fmt::format("{}h.{}.", prefix, i), graph.hidden, width, shape, activation));
    graph.blocks.back().attention.scale = score_scale(config, shape.head_dim, i);
  }
  graph.final_norm = arch::affine_norm(prefix + "ln_f");
  arch::set_head(graph, config, "lm_head", true);
  graph.bos_ids = config.ids("bos_token_id", {50256});
  graph.eos_ids = config.ids("eos_token_id", {50256});
  return graph;
}

}  // namespace bitloom
