// Phi 3.5 with experts: mixtral with layer norms, biases in attention and head, and SparseMixer-v2 as its choice.

#include "model/arch/parts.h"

namespace bitloom {
namespace {

/// Longrope's factor of cos and sin under this architecture's own keys, one for each of the two lists.
Json with_attention_factor(const Json& document, const std::string& origin) {
  Json config = document;
  for (const char* name : {"rope_scaling", "rope_parameters"}) {
    const Json settings = ConfigReader(document, origin).object(name);
    const ConfigReader reader(settings, origin, std::string(name) + ".");
    if (!reader.has("short_mscale") && !reader.has("long_mscale")) continue;
    const double factor = reader.positive("short_mscale");
    if (reader.positive("long_mscale") != factor) {
      reader.refuse_value("long_mscale", fmt::format("supported: short_mscale = {}", factor));
    }
    config[name]["attention_factor"] = factor;
  }
  return config;
}

}  // namespace

Graph build_phimoe(const Json& document, const std::string& origin, const TensorNames& names) {
  const Json completed = with_attention_factor(document, origin);
  const ConfigReader config(completed, origin);
  arch::LlamaFamily family;
  family.qkv_bias = family.output_bias = config.flag("attention_bias", false);
  family.head_bias = config.flag("lm_head_bias", false);
  family.norm = NormKind::kLayer;
  family.default_eps = 1e-5;
  family.activation = arch::read_activation(config, "hidden_act", "silu");
  family.default_kv_heads = 8;
  family.default_positions = 4096 * 32;
  family.default_bos = {1};
  family.default_eos = {2};
  arch::ExpertFamily experts;
  experts.module = "block_sparse_moe.";
  experts.gate = "w1", experts.up = "w3", experts.down = "w2";
  experts.count = config.count("num_local_experts", 16);
  experts.width = config.count("intermediate_size", 6400);
  experts.choice.top_k = arch::read_top_k(config, experts.count, 2);
  if (experts.choice.top_k != 2) config.refuse_value("num_experts_per_tok", "supported: 2");
  experts.choice.score = RouterScore::kSparseMixer;
  experts.choice.mixer_margin = static_cast<float>(2 * config.number("router_jitter_noise", 0.01));
  family.experts = experts;
  Graph graph = arch::build_llama_family(config, names, family);
  if (graph.tied_head && family.head_bias) {
    config.refuse_value("lm_head_bias", "but tie_word_embeddings leaves the head no tensors");
  }
  const int64_t window = config.find_count("sliding_window").value_or(0);
  arch::require_uniform_layers(config, static_cast<int64_t>(graph.blocks.size()), window > 0);
  if (window > 0) arch::set_windows(graph, config, std::vector<bool>(graph.blocks.size(), true), window);
  RopeRules rules;
  rules.default_theta = 1e6;
  rules.phi3_names = true;
  arch::set_rope(graph, config, rules);
  return graph;
}

}  // namespace bitloom
