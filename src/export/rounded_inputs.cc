#include "export/rounded_inputs.h"

#include "base/error.h"

namespace bitloom {

void refuse_rounded_inputs(const std::string& model, const Graph& graph, std::string_view layout) {
  for (const Site& site : linear_sites(graph)) {
    if (!site.reads->activations) continue;
    misuse("{}: tensor '{}' is multiplied by inputs rounded to {}, which the {} layout cannot hold", model,
           site.linear->weight, kind_text(*site.reads->activations), layout);
  }
  for (size_t b = 0; b < graph.blocks.size(); ++b) {
    for (const Operand operand : kOperands) {
      const auto& format = graph.blocks[b].attention.format_of(operand);
      if (!format) continue;
      misuse("{}: attention's {} are rounded to {}, which the {} layout cannot hold", model,
             operand_place(static_cast<int>(b), operand), kind_text(*format), layout);
    }
  }
}

}  // namespace bitloom
