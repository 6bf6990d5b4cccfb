// OLMo: llama with layer norms that have no weights; queries, keys and values may be clipped.

#include "model/arch/parts.h"

namespace bitloom {

Graph build_olmo(const Json& document, const std::string& origin, const TensorNames& names) {
  const ConfigReader config(document, origin);
  arch::LlamaFamily family;
  family.qkv_bias = family.output_bias = config.flag("attention_bias", false);
  family.norm = NormKind::kLayer;
  family.bare_norms = true;
  family.eps_key = "";
  family.default_eps = 1e-5;
  family.activation = arch::read_activation(config, "hidden_act", "silu");
  family.default_positions = 2048;
  family.default_eos = {50279};
  Graph graph = arch::build_llama_family(config, names, family);
  const auto clip = static_cast<float>(config.has("clip_qkv") ? config.positive("clip_qkv") : 0.0);
  for (Block& block : graph.blocks) block.attention.clip = clip;
  arch::set_rope(graph, config);
  return graph;
}

}  // namespace bitloom
