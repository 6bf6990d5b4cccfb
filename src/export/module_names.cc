#include "export/module_names.h"

#include <string_view>

namespace bitloom {

std::string module_of(const std::string& tensor) {
  constexpr std::string_view kWeight = ".weight";
  return tensor.ends_with(kWeight) ? tensor.substr(0, tensor.size() - kWeight.size()) : tensor;
}

std::map<std::string, const Linear*> block_linears(const Graph& graph) {
  std::map<std::string, const Linear*> linears;
  for (const Block& block : graph.blocks) {
    for (const Linear& linear : block.linears) {
      if (linear.present()) linears[linear.weight] = &linear;
    }
  }
  return linears;
}

}  // namespace bitloom
