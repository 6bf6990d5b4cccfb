// Command R: attention and MLP in parallel behind one layer norm without a bias, scaled logits, interleaved rope.

#include "model/arch/parts.h"

namespace bitloom {

Graph build_cohere(const Json& document, const std::string& origin, const TensorNames& names) {
  const ConfigReader config(document, origin);
  arch::LlamaFamily family = arch::cohere_family(config);
  if (config.flag("use_qk_norm", false)) {
    family.names.q_norm = "q_norm", family.names.k_norm = "k_norm";
    family.head_norm = HeadNorm::kOwn;
  }
  Graph graph = arch::build_llama_family(config, names, family);
  arch::set_cohere_rope(graph, config, 5e5);
  return graph;
}

}  // namespace bitloom
