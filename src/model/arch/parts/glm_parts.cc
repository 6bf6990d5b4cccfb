#include "model/arch/parts.h"

namespace bitloom::arch {

LlamaFamily glm_family(const ConfigReader& config) {
  LlamaFamily family;
  family.qkv_bias = config.flag("attention_bias", true);
  family.fused_gate_up = true;
  family.default_eps = 0.00000015625;
  family.activation = read_activation(config, "hidden_act", "silu");
  family.default_kv_heads = 2;
  family.default_head_dim = 128;
  family.default_positions = 131072;
  family.default_eos = {151329, 151336, 151338};
  return family;
}

void set_glm_rope(Graph& graph, const ConfigReader& config) {
  RopeRules rules;
  rules.partial = true;
  rules.default_partial = 0.5;
  rules.interleaved = true;
  set_rope(graph, config, rules);
}

}  // namespace bitloom::arch
