#include <cmath>

#include "base/error.h"
#include "model/arch/parts.h"

namespace bitloom::arch {
namespace {

HeadShape read_heads(const ConfigReader& config, int64_t hidden, const LlamaFamily& family) {
  HeadShape shape;
  shape.heads = config.count("num_attention_heads");
  const bool absent = !config.contains("num_key_value_heads");
  const int64_t fallback = absent && family.default_kv_heads > 0 ? family.default_kv_heads : shape.heads;
  shape.kv_heads = config.count("num_key_value_heads", fallback);
  if (shape.heads % shape.kv_heads != 0) {
    refuse("{}: num_attention_heads = {} is no multiple of num_key_value_heads = {}", config.origin(), shape.heads,
           shape.kv_heads);
  }
  if (!config.has("head_dim") && family.default_head_dim == 0 && hidden % shape.heads != 0) {
    refuse("{}: hidden_size = {} is no multiple of num_attention_heads = {}, and head_dim is missing", config.origin(),
           hidden, shape.heads);
  }
  shape.head_dim =
      config.count("head_dim", family.default_head_dim > 0 ? family.default_head_dim : hidden / shape.heads);
  return shape;
}

void add_attention(Block& block, const std::string& name, int64_t hidden, const HeadShape& shape,
                   const LlamaFamily& family) {
  Attention& attention = block.attention;
  AttentionLinears linears;
  const int64_t q_rows = shape.heads * shape.head_dim, kv_rows = shape.kv_heads * shape.head_dim;
  if (family.fused) {
    attention.layout = QkvLayout::kConcatenated;
    linears.q = make_linear(name + "qkv_proj", q_rows + 2 * kv_rows, hidden, family.qkv_bias);
  } else {
    linears.q = make_linear(name + "q_proj", q_rows, hidden, family.qkv_bias);
    linears.k = make_linear(name + "k_proj", kv_rows, hidden, family.qkv_bias);
    linears.v = make_linear(name + "v_proj", kv_rows, hidden, family.qkv_bias);
  }
  linears.output = make_linear(name + "o_proj", hidden, q_rows, family.output_bias);
  connect_attention(block, linears);
  if (family.qk_norm) {
    attention.q_norm = weight_norm(name + "q_norm");
    attention.k_norm = weight_norm(name + "k_norm");
  }
  attention.heads = shape.heads;
  attention.kv_heads = shape.kv_heads;
  attention.head_dim = shape.head_dim;
  attention.scale = static_cast<float>(1.0 / std::sqrt(static_cast<double>(shape.head_dim)));
}

void add_mlp(Block& block, const std::string& name, int64_t hidden, int64_t width, const LlamaFamily& family) {
  MlpLinears linears;
  if (family.fused) {
    block.mlp.fused_gate_up = true;
    linears.gate = make_linear(name + "gate_up_proj", 2 * width, hidden, family.mlp_bias);
  } else {
    if (family.gated) linears.gate = make_linear(name + "gate_proj", width, hidden, family.mlp_bias);
    linears.up = make_linear(name + family.up, width, hidden, family.mlp_bias);
  }
  linears.down = make_linear(name + family.down, hidden, width, family.mlp_bias);
  connect_mlp(block, linears);
}

Norm norm_of(const std::string& name, const LlamaFamily& family) {
  return family.norm == NormKind::kLayer ? affine_norm(name) : weight_norm(name);
}

void name_norms(Block& block, const std::string& name, const LlamaFamily& family) {
  block.attention_norm = norm_of(name + "input_layernorm", family);
  if (!family.four_norms) {
    block.mlp_norm = norm_of(name + "post_attention_layernorm", family);
    return;
  }
  block.post_attention_norm = weight_norm(name + "post_attention_layernorm");
  block.mlp_norm = weight_norm(name + "pre_feedforward_layernorm");
  block.post_mlp_norm = weight_norm(name + "post_feedforward_layernorm");
}

}  // namespace

Graph build_llama_family(const ConfigReader& config, const TensorNames& names, const LlamaFamily& family) {
  const std::string prefix = find_prefix(names, family.prefixes, "embed_tokens.weight");
  Graph graph;
  graph.vocab_size = config.count("vocab_size");
  graph.hidden = config.count("hidden_size");
  graph.max_positions = config.count("max_position_embeddings", family.default_positions);
  graph.embedding = prefix + "embed_tokens.weight";
  graph.norm = family.norm;
  graph.norm_eps = static_cast<float>(config.positive(family.eps_key, family.default_eps));
  const HeadShape shape = read_heads(config, graph.hidden, family);
  const int64_t layers = read_layers(config, "num_hidden_layers"), width = config.count("intermediate_size");
  for (int64_t i = 0; i < layers; ++i) {
    const std::string name = fmt::format("{}layers.{}.", prefix, i);
    Block block;
    add_attention(block, name + "self_attn.", graph.hidden, shape, family);
    block.mlp.gated = family.gated;
    block.mlp.activation = family.activation;
    if (family.experts && has_experts(*family.experts, i)) {
      add_experts(block, name, graph.hidden, *family.experts);
    } else {
      add_mlp(block, name + "mlp.", graph.hidden, width, family);
    }
    name_norms(block, name, family);
    graph.blocks.push_back(std::move(block));
  }
  graph.final_norm = norm_of(prefix + "norm", family);
  set_head(graph, config, family.head, family.tied_by_default);
  graph.bos_ids = config.ids("bos_token_id", family.default_bos);
  graph.eos_ids = config.ids("eos_token_id", family.default_eos);
  return graph;
}

void set_rope(Graph& graph, const ConfigReader& config, RopeRules rules) {
  rules.head_dim = graph.blocks.front().attention.head_dim;
  rules.max_positions = graph.max_positions;
  graph.ropes = {rope_from_config(config, rules)};
  for (Block& block : graph.blocks) block.attention.rope = 0;
}

}  // namespace bitloom::arch
