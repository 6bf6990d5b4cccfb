#include "model/arch/parts.h"

namespace bitloom::arch {

LlamaFamily olmo2_family(const ConfigReader& config) {
  LlamaFamily family;
  family.qkv_bias = family.output_bias = config.flag("attention_bias", false);
  name_norms_behind(family.names);
  family.names.q_norm = "q_norm", family.names.k_norm = "k_norm";
  family.head_norm = HeadNorm::kAllHeads;
  family.default_eps = 1e-5;
  family.activation = read_activation(config, "hidden_act", "silu");
  family.default_positions = 2048;
  family.default_eos = {50279};
  return family;
}

}  // namespace bitloom::arch
