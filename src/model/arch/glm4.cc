// GLM-4-0414: glm with norms before and behind attention and MLP.

#include "model/arch/parts.h"

namespace bitloom {

Graph build_glm4(const Json& document, const std::string& origin, const TensorNames& names) {
  const ConfigReader config(document, origin);
  arch::LlamaFamily family = arch::glm_family(config);
  family.names.post_attention_norm = "post_self_attn_layernorm";
  family.names.post_mlp_norm = "post_mlp_layernorm";
  Graph graph = arch::build_llama_family(config, names, family);
  arch::set_glm_rope(graph, config);
  return graph;
}

}  // namespace bitloom
