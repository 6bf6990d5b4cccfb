#include <cmath>

#include "base/memory/dtype.h"
#include "model/arch/parts.h"

namespace bitloom::arch {

LlamaFamily gemma_family(const ConfigReader& config) {
  const bool bias = config.flag("attention_bias", false);
  LlamaFamily family;
  family.qkv_bias = bias;
  family.output_bias = bias;
  family.norm = NormKind::kRmsPlusOne;
  family.activation = Activation::kGeluTanh;
  family.default_head_dim = 256;
  family.tied_by_default = true;
  family.default_bos = {2};
  family.default_eos = {1};
  return family;
}

void scale_embeddings(Graph& graph, const ConfigReader& config) {
  const auto scale = static_cast<float>(std::sqrt(static_cast<double>(graph.hidden)));
  const std::string dtype = config.text(config.has("dtype") ? "dtype" : "torch_dtype", "float32");
  if (dtype == "bfloat16") {
    graph.embedding_scale = bf16_to_f32(f32_to_bf16(scale));
  } else if (dtype == "float16") {
    graph.embedding_scale = f16_to_f32(f32_to_f16(scale));
  } else {
    graph.embedding_scale = scale;
  }
}

void set_gemma_scores(Graph& graph, const ConfigReader& config, std::optional<double> attention_cap,
                      std::optional<double> final_cap) {
  // An explicit null turns a cap off; only an absent key takes the default.
  const auto cap = [&config](const std::string& key, std::optional<double> fallback) {
    const std::optional<double> value = config.contains(key) ? config.find_number(key) : fallback;
    if (value && !(*value > 0)) config.refuse_value(key, "expected a number > 0 or null");
    return static_cast<float>(value.value_or(0.0));
  };
  const auto scale = static_cast<float>(1.0 / std::sqrt(config.positive("query_pre_attn_scalar", 256.0)));
  const float softcap = cap("attn_logit_softcapping", attention_cap);
  for (Block& block : graph.blocks) {
    block.attention.scale = scale;
    block.attention.softcap = softcap;
  }
  graph.logit_softcap = cap("final_logit_softcapping", final_cap);
}

}  // namespace bitloom::arch
