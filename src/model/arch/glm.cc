// GLM-4 (the models of 2024): llama with gate and up in one matrix, and half of each head rotated, in interleaved
// pairs.

#include "model/arch/parts.h"

namespace bitloom {

Graph build_glm(const Json& document, const std::string& origin, const TensorNames& names) {
  const ConfigReader config(document, origin);
  Graph graph = arch::build_llama_family(config, names, arch::glm_family(config));
  arch::set_glm_rope(graph, config);
  return graph;
}

}  // namespace bitloom
