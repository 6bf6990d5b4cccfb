#include <cmath>

#include "base/error.h"
#include "model/arch/parts.h"

namespace bitloom::arch {
namespace {

Norm norm_of(const std::string& name, const LlamaFamily& family) {
  if (family.bare_norms) return {"", "", true};
  return subtracts_mean(family.norm) && family.norm_bias ? affine_norm(name) : weight_norm(name);
}

/// The norm of a layer's or the model's part; absent when it has no name.
Norm norm_at(const std::string& prefix, const std::string& name, const LlamaFamily& family) {
  return name.empty() ? Norm{} : norm_of(prefix + name, family);
}

void add_attention(Block& block, const std::string& layer, int64_t hidden, const HeadShape& shape, bool keys_are_values,
                   const LlamaFamily& family) {
  if (family.latent) {
    return add_latent_attention(block, layer + family.names.attention, hidden, shape.heads, *family.latent);
  }
  Attention& attention = block.attention;
  const PartNames& names = family.names;
  const std::string module = layer + names.attention;
  AttentionLinears linears;
  const int64_t q_rows = shape.heads * shape.head_dim, kv_rows = shape.kv_heads * shape.head_dim;
  attention.layout = family.qkv;
  if (family.qkv == QkvLayout::kSeparate) {
    linears.q = make_linear(module + names.q, q_rows, hidden, family.qkv_bias);
    linears.k = make_linear(module + names.k, kv_rows, hidden, family.qkv_bias);
    if (!keys_are_values) linears.v = make_linear(module + names.v, kv_rows, hidden, family.qkv_bias);
  } else {
    linears.q = make_linear(module + names.qkv, q_rows + 2 * kv_rows, hidden, family.qkv_bias);
  }
  linears.output = make_linear(module + names.output, hidden, q_rows, family.output_bias);
  connect_attention(block, linears);
  attention.q_norm = norm_at(module, names.q_norm, family);
  attention.k_norm = norm_at(module, names.k_norm, family);
  if (!names.sinks.empty()) attention.sinks = module + names.sinks;
  attention.head_norm = family.head_norm;
  attention.heads = shape.heads;
  attention.kv_heads = shape.kv_heads;
  attention.head_dim = shape.head_dim;
  attention.scale = static_cast<float>(1.0 / std::sqrt(static_cast<double>(shape.head_dim)));
}

void add_mlp(Block& block, const std::string& layer, int64_t hidden, int64_t width, const LlamaFamily& family) {
  const PartNames& names = family.names;
  const std::string module = layer + names.mlp;
  MlpLinears linears;
  if (family.fused_gate_up) {
    block.mlp.fused_gate_up = true;
    linears.gate = make_linear(module + names.gate_up, 2 * width, hidden, family.mlp_bias);
  } else {
    if (family.gated) linears.gate = make_linear(module + names.gate, width, hidden, family.mlp_bias);
    linears.up = make_linear(module + names.up, width, hidden, family.mlp_bias);
  }
  linears.down = make_linear(module + names.down, hidden, width, family.mlp_bias);
  connect_mlp(block, linears);
}

/// The next block of the graph: all but the MLP and experts.
Block build_family_block(const std::string& name, const Graph& graph, const HeadShape& shape,
                         const LlamaFamily& family) {
  Block block;
  block.parallel = family.parallel;
  const size_t layer = graph.blocks.size();
  const bool keys_are_values = !family.keys_are_values.empty() && family.keys_are_values[layer];
  add_attention(block, name, graph.hidden, family.layer_heads.empty() ? shape : family.layer_heads[layer],
                keys_are_values, family);
  block.mlp.gated = family.gated;
  block.mlp.activation = family.activation;
  block.attention_norm = norm_at(name, family.names.attention_norm, family);
  block.post_attention_norm = norm_at(name, family.names.post_attention_norm, family);
  block.mlp_norm = norm_at(name, family.names.mlp_norm, family);
  block.post_mlp_norm = norm_at(name, family.names.post_mlp_norm, family);
  return block;
}

}  // namespace

HeadShape read_heads(const ConfigReader& config, int64_t hidden, const LlamaFamily& family) {
  const SizeKeys& keys = family.keys;
  HeadShape shape;
  shape.heads = config.count(keys.heads);
  if (family.latent) return shape;
  const bool absent = keys.kv_heads.empty() || !config.contains(keys.kv_heads);
  const int64_t fallback = absent && family.default_kv_heads > 0 ? family.default_kv_heads : shape.heads;
  shape.kv_heads = keys.kv_heads.empty() ? fallback : config.count(keys.kv_heads, fallback);
  if (shape.heads % shape.kv_heads != 0) {
    refuse("{}: {} = {} is no multiple of {} = {}", config.origin(), keys.heads, shape.heads, keys.kv_heads,
           shape.kv_heads);
  }
  // An explicit null is the width that divides the hidden one.
  const int64_t usual = config.contains("head_dim") ? 0 : family.default_head_dim;
  if (!config.has("head_dim") && usual == 0 && hidden % shape.heads != 0) {
    refuse("{}: {} = {} is no multiple of {} = {}, and head_dim is missing", config.origin(), keys.hidden, hidden,
           keys.heads, shape.heads);
  }
  shape.head_dim = config.count("head_dim", usual > 0 ? usual : hidden / shape.heads);
  return shape;
}

void name_four_norms(PartNames& names) {
  names.post_attention_norm = "post_attention_layernorm";
  names.mlp_norm = "pre_feedforward_layernorm";
  names.post_mlp_norm = "post_feedforward_layernorm";
}

void name_norms_behind(PartNames& names) {
  names.attention_norm = names.mlp_norm = "";
  names.post_attention_norm = "post_attention_layernorm";
  names.post_mlp_norm = "post_feedforward_layernorm";
}

void name_megatron_parts(PartNames& names) {
  names.embedding = "word_embeddings", names.layers = "h.", names.final_norm = "ln_f";
  names.attention = "self_attention.", names.qkv = "query_key_value", names.output = "dense";
  names.up = "dense_h_to_4h", names.down = "dense_4h_to_h";
}

std::string first_key(const ConfigReader& config, const std::vector<std::string>& keys) {
  for (const std::string& key : keys) {
    if (config.has(key)) return key;
  }
  return keys.front();
}

Graph build_llama_family(const ConfigReader& config, const TensorNames& names, const LlamaFamily& family) {
  const PartNames& parts = family.names;
  const SizeKeys& keys = family.keys;
  const std::string prefix = find_prefix(names, family.prefixes, parts.embedding + ".weight");
  Graph graph;
  graph.vocab_size = config.count("vocab_size");
  graph.hidden = config.count(keys.hidden);
  graph.max_positions = config.count(keys.positions, family.default_positions);
  graph.embedding = prefix + parts.embedding + ".weight";
  graph.embedding_norm = norm_at(prefix, parts.embedding_norm, family);
  graph.norm = family.norm;
  graph.norm_eps = static_cast<float>(family.eps_key.empty() ? family.default_eps
                                                             : config.positive(family.eps_key, family.default_eps));
  const HeadShape shape = read_heads(config, graph.hidden, family);
  const int64_t layers = read_layers(config, keys.layers);
  const int64_t width = keys.width.empty() ? 4 * graph.hidden : config.count(keys.width);
  for (int64_t i = 0; i < layers; ++i) {
    const std::string name = fmt::format("{}{}{}.", prefix, parts.layers, i);
    Block block = build_family_block(name, graph, shape, family);
    if (family.experts && has_experts(*family.experts, i)) {
      add_experts(graph, block, name, config, names, *family.experts);
    } else {
      add_mlp(block, name, graph.hidden, width, family);
    }
    graph.blocks.push_back(std::move(block));
  }
  graph.final_norm = norm_at(prefix, parts.final_norm, family);
  set_head(graph, config, family.head, family.tied_by_default);
  if (family.head_bias) graph.head.bias = family.head + ".bias";
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
