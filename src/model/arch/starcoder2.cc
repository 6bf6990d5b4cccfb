// StarCoder2: the llama family with layer norms, biases and an MLP without a gate; a sliding window in every block.

#include "model/arch/parts.h"

namespace bitloom {

Graph build_starcoder2(const Json& document, const std::string& origin, const TensorNames& names) {
  const ConfigReader config(document, origin);
  arch::LlamaFamily family;
  family.qkv_bias = family.output_bias = family.mlp_bias = config.flag("use_bias", true);
  family.gated = false;
  family.names.up = "c_fc", family.names.down = "c_proj";
  family.norm = NormKind::kLayer;
  family.eps_key = "norm_epsilon";
  family.default_eps = 1e-5;
  family.activation = arch::read_activation(config, "hidden_act", "gelu_pytorch_tanh");
  family.default_kv_heads = 2;
  family.default_positions = 4096;
  family.tied_by_default = true;
  family.default_bos = family.default_eos = {50256};
  Graph graph = arch::build_llama_family(config, names, family);
  const auto layers = static_cast<int64_t>(graph.blocks.size());
  const int64_t window = config.find_count("sliding_window").value_or(0);
  arch::require_uniform_layers(config, layers, window > 0);
  if (window > 0) arch::set_windows(graph, config, std::vector<bool>(graph.blocks.size(), true), window);
  arch::set_rope(graph, config);
  return graph;
}

}  // namespace bitloom
