// gpt-oss: the llama family with sinks in attention, every other layer local, a clamped gate, biases everywhere; all
// experts of a layer in two tensors, plain or MXFP4.

#include "model/arch/parts.h"

namespace bitloom {
namespace {

/// Without rotary settings the class has these.
Json with_rope(const Json& document, const std::string& origin) {
  Json config = document;
  const ConfigReader reader(document, origin);
  if (reader.has("rope_scaling") || reader.has("rope_parameters")) return config;
  config["rope_scaling"] = {{"rope_type", "yarn"}, {"factor", 32.0},    {"beta_fast", 32.0},
                            {"beta_slow", 1.0},    {"truncate", false}, {"original_max_position_embeddings", 4096}};
  return config;
}

arch::ExpertFamily gpt_oss_experts(const ConfigReader& config) {
  arch::ExpertFamily experts;
  experts.router = "router";
  experts.bias = true;
  experts.count = config.count(config.has("num_local_experts") ? "num_local_experts" : "num_experts", 128);
  experts.width = config.count("intermediate_size", 2880);
  experts.choice.top_k = arch::read_top_k(config, experts.count, 4);
  experts.choice.normalized = true;  // softmax over the chosen ones' outputs
  arch::StackedExperts stacked;
  stacked.gate_up = "experts.gate_up_proj", stacked.down = "experts.down_proj";
  stacked.interleaved = stacked.transposed = true;
  stacked.blocks = "_blocks", stacked.scales = "_scales";
  stacked.bias = "_bias";
  experts.stacked = stacked;
  return experts;
}

}  // namespace

Graph build_gpt_oss(const Json& document, const std::string& origin, const TensorNames& names) {
  const Json completed = with_rope(document, origin);
  const ConfigReader config(completed, origin);
  arch::LlamaFamily family;
  family.qkv_bias = family.output_bias = config.flag("attention_bias", true);
  family.names.sinks = "sinks";
  family.default_eps = 1e-5;
  family.activation = arch::read_activation(config, "hidden_act", "silu");
  if (family.activation != Activation::kSilu) config.refuse_value("hidden_act", "supported: silu");
  family.default_head_dim = 64;
  family.default_kv_heads = 8;
  family.default_positions = 131072;
  family.experts = gpt_oss_experts(config);
  Graph graph = arch::build_llama_family(config, names, family);
  const auto clamp = static_cast<float>(config.positive("swiglu_limit", 7.0));
  const auto slope = static_cast<float>(config.number("swiglu_alpha", 1.702));
  for (Block& block : graph.blocks) {
    for (Mlp& mlp : block.experts.mlps) mlp.clamp = clamp, mlp.gate_slope = slope;
  }
  const auto every_other = [](int64_t layer, int64_t) { return layer % 2 == 0; };
  const auto layers = static_cast<int64_t>(graph.blocks.size());
  const int64_t window = arch::read_window(config, 128);
  arch::set_windows(graph, config, arch::read_layer_types(config, layers, every_other, 0), window);
  RopeRules rules;
  rules.default_theta = 150000.0;
  arch::set_rope(graph, config, rules);
  return graph;
}

}  // namespace bitloom
