// OLMo 2: llama with norms behind attention and MLP, and over all heads of the queries and of the keys.

#include "model/arch/parts.h"

namespace bitloom {

Graph build_olmo2(const Json& document, const std::string& origin, const TensorNames& names) {
  const ConfigReader config(document, origin);
  const arch::LlamaFamily family = arch::olmo2_family(config);
  Graph graph = arch::build_llama_family(config, names, family);
  arch::set_rope(graph, config);
  return graph;
}

}  // namespace bitloom
