// GPT-Neo: GPT-2 with plain linear layers, unscaled scores, and local layers with a window of 256.

#include "base/error.h"
#include "model/arch/parts.h"

namespace bitloom {
namespace {

const std::string kTypesExpected = "expected [[[\"global\" or \"local\", ...], repetitions], ...]";

/// attention_types, [[["global", "local"], 12]], spelled out one entry per layer.
std::vector<std::string> expand_types(const ConfigReader& config, const Json& types, int64_t layers) {
  std::vector<std::string> out;
  for (const Json& item : types) {
    const bool shaped = item.is_array() && item.size() == 2 && item[0].is_array() && item[1].is_number_unsigned();
    if (!shaped || item[1].get<uint64_t>() > static_cast<uint64_t>(layers)) {
      config.refuse_value("attention_types", kTypesExpected);
    }
    for (uint64_t i = 0; i < item[1].get<uint64_t>(); ++i) {
      for (const Json& type : item[0]) out.push_back(type.is_string() ? type.get<std::string>() : "");
      if (static_cast<int64_t>(out.size()) > layers) break;  // refused by the caller
    }
  }
  return out;
}

/// Per layer, whether it is local. attention_layers decides, as in transformers; attention_types expands to it.
std::vector<bool> local_layers(const ConfigReader& config, const Json& document, int64_t layers) {
  const bool listed = config.has("attention_layers"), given = config.has("attention_types");
  const std::string key = listed ? "attention_layers" : "attention_types";
  std::vector<std::string> types = listed ? config.texts(key) : std::vector<std::string>{};
  if (!listed && given && !document[key].is_array()) config.refuse_value(key, kTypesExpected);
  const Json fallback = Json::parse(R"([[["global", "local"], 12]])");
  if (!listed) types = expand_types(config, given ? document[key] : fallback, layers);
  if (static_cast<int64_t>(types.size()) != layers) {
    config.refuse_value(key, fmt::format("which gives {} layers where num_layers = {}", types.size(), layers));
  }
  std::vector<bool> local;
  for (const std::string& type : types) {
    if (type != "global" && type != "local") config.refuse_value(key, kTypesExpected);
    local.push_back(type == "local");
  }
  return local;
}

Block build_block(const std::string& name, int64_t hidden, int64_t width, const arch::HeadShape& shape) {
  Block block;
  block.attention_norm = arch::affine_norm(name + "ln_1");
  block.mlp_norm = arch::affine_norm(name + "ln_2");
  Attention& attention = block.attention;
  AttentionLinears projections;
  projections.q = arch::make_linear(name + "attn.attention.q_proj", hidden, hidden, false);
  projections.k = arch::make_linear(name + "attn.attention.k_proj", hidden, hidden, false);
  projections.v = arch::make_linear(name + "attn.attention.v_proj", hidden, hidden, false);
  projections.output = arch::make_linear(name + "attn.attention.out_proj", hidden, hidden, true);
  connect_attention(block, projections);
  attention.heads = shape.heads;
  attention.kv_heads = shape.kv_heads;
  attention.head_dim = shape.head_dim;
  attention.scale = 1.0f;
  MlpLinears mlp;
  mlp.up = arch::make_linear(name + "mlp.c_fc", width, hidden, true);
  mlp.down = arch::make_linear(name + "mlp.c_proj", hidden, width, true);
  connect_mlp(block, mlp);
  return block;
}

}  // namespace

Graph build_gpt_neo(const Json& document, const std::string& origin, const TensorNames& names) {
  const ConfigReader config(document, origin);
  const std::string prefix = arch::find_prefix(names, {"transformer.", ""}, "wte.weight");
  Graph graph;
  graph.vocab_size = config.count("vocab_size");
  graph.hidden = config.count("hidden_size");
  graph.max_positions = config.count("max_position_embeddings", 2048);
  graph.embedding = prefix + "wte.weight";
  graph.position_embedding = prefix + "wpe.weight";
  graph.norm = NormKind::kLayer;
  graph.norm_eps = static_cast<float>(config.positive("layer_norm_epsilon", 1e-5));
  const arch::HeadShape shape = arch::equal_heads(config, "num_heads", graph.hidden);
  const int64_t width = config.count("intermediate_size", 4 * graph.hidden);
  const int64_t layers = arch::read_layers(config, "num_layers"), window = config.count("window_size", 256);
  const Activation activation = arch::read_activation(config, "activation_function", "gelu_new");
  for (const bool local : local_layers(config, document, layers)) {
    Block block = build_block(fmt::format("{}h.{}.", prefix, graph.blocks.size()), graph.hidden, width, shape);
    block.mlp.activation = activation;
    block.attention.window = local ? window : 0;
    graph.blocks.push_back(std::move(block));
  }
  graph.final_norm = arch::affine_norm(prefix + "ln_f");
  arch::set_head(graph, config, "lm_head", true);
  graph.bos_ids = config.ids("bos_token_id", {50256});
  graph.eos_ids = config.ids("eos_token_id", {50256});
  return graph;
}

}  // namespace bitloom
