#include "model/arch/parts.h"

namespace bitloom::arch {

void set_granite_scales(Graph& graph, const ConfigReader& config) {
  graph.embedding_scale = static_cast<float>(config.number("embedding_multiplier", 1.0));
  graph.residual_scale = static_cast<float>(config.number("residual_multiplier", 1.0));
  graph.logit_scale = static_cast<float>(1.0 / config.positive("logits_scaling", 1.0));
  const auto scale = static_cast<float>(config.number("attention_multiplier", 1.0));
  for (Block& block : graph.blocks) block.attention.scale = scale;
}

}  // namespace bitloom::arch
