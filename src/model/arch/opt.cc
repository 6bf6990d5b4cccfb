// OPT: learned positions with an offset of two, biases everywhere, ReLU. The 350m model normalises after each residual
// and has embeddings narrower than its hidden state.

#include <cmath>

#include "base/error.h"
#include "model/arch/parts.h"

namespace bitloom {
namespace {

struct OptSwitches {
  int64_t hidden, width;
  bool bias, norm_before;
  Activation activation;
};

Block build_block(const std::string& name, const arch::HeadShape& shape, const OptSwitches& opt) {
  Block block;
  Attention& attention = block.attention;
  AttentionLinears projections;
  projections.q = arch::make_linear(name + "self_attn.q_proj", opt.hidden, opt.hidden, opt.bias);
  projections.k = arch::make_linear(name + "self_attn.k_proj", opt.hidden, opt.hidden, opt.bias);
  projections.v = arch::make_linear(name + "self_attn.v_proj", opt.hidden, opt.hidden, opt.bias);
  projections.output = arch::make_linear(name + "self_attn.out_proj", opt.hidden, opt.hidden, opt.bias);
  connect_attention(block, projections);
  attention.heads = shape.heads;
  attention.kv_heads = shape.kv_heads;
  attention.head_dim = shape.head_dim;
  attention.scale = static_cast<float>(1.0 / std::sqrt(static_cast<double>(shape.head_dim)));
  block.mlp.activation = opt.activation;
  MlpLinears mlp;
  mlp.up = arch::make_linear(name + "fc1", opt.width, opt.hidden, opt.bias);
  mlp.down = arch::make_linear(name + "fc2", opt.hidden, opt.width, opt.bias);
  connect_mlp(block, mlp);
  (opt.norm_before ? block.attention_norm : block.attention_residual_norm) =
      arch::affine_norm(name + "self_attn_layer_norm");
  (opt.norm_before ? block.mlp_norm : block.mlp_residual_norm) = arch::affine_norm(name + "final_layer_norm");
  return block;
}

void set_projections(Graph& graph, const std::string& prefix, int64_t width) {
  if (width == graph.hidden) return;
  graph.project_in = arch::make_linear(prefix + "project_in", graph.hidden, width, false);
  graph.project_out = arch::make_linear(prefix + "project_out", width, graph.hidden, false);
}

}  // namespace

Graph build_opt(const Json& document, const std::string& origin, const TensorNames& names) {
  const ConfigReader config(document, origin);
  if (!config.flag("layer_norm_elementwise_affine", true)) {
    config.refuse_value("layer_norm_elementwise_affine", "norms without weights are not supported");
  }
  const std::string prefix = arch::find_prefix(names, {"model.decoder.", "decoder.", ""}, "embed_tokens.weight");
  Graph graph;
  graph.vocab_size = config.count("vocab_size");
  graph.hidden = config.count("hidden_size");
  graph.max_positions = config.count("max_position_embeddings", 2048);
  graph.embedding = prefix + "embed_tokens.weight";
  graph.position_embedding = prefix + "embed_positions.weight";
  graph.position_offset = 2;
  graph.norm = NormKind::kLayer;
  graph.norm_eps = 1e-5f;
  OptSwitches opt{graph.hidden, config.count("ffn_dim"), config.flag("enable_bias", true),
                  config.flag("do_layer_norm_before", true),
                  arch::read_activation(config, "activation_function", "relu")};
  const arch::HeadShape shape = arch::equal_heads(config, "num_attention_heads", graph.hidden);
  const int64_t layers = arch::read_layers(config, "num_hidden_layers");
  for (int64_t i = 0; i < layers; ++i) {
    graph.blocks.push_back(build_block(fmt::format("{}layers.{}.", prefix, i), shape, opt));
  }
  if (opt.norm_before && !config.flag("_remove_final_layer_norm", false)) {
    graph.final_norm = arch::affine_norm(prefix + "final_layer_norm");
  }
  set_projections(graph, prefix, config.count("word_embed_proj_dim", graph.hidden));
  arch::set_head(graph, config, "lm_head", true);
  graph.bos_ids = config.ids("bos_token_id", {2});
  graph.eos_ids = config.ids("eos_token_id", {2});
  return graph;
}

}  // namespace bitloom
