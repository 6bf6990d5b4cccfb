// Multi-head latent attention in the llama family.

#include <cmath>

#include "base/error.h"
#include "model/arch/parts.h"

namespace bitloom::arch {

LatentFamily read_latent_family(const ConfigReader& config) {
  LatentFamily family;
  // An explicit null: queries are projected directly.
  family.q_rank = config.contains("q_lora_rank") ? config.find_count("q_lora_rank").value_or(0) : 1536;
  family.rank = config.count("kv_lora_rank", 512);
  family.unturned = config.count("qk_nope_head_dim", 128);
  family.turned = config.count("qk_rope_head_dim", 64);
  family.value_dim = config.count("v_head_dim", 128);
  family.bias = config.flag("attention_bias", false);
  const int64_t heads = config.count("num_attention_heads");
  if (config.count("num_key_value_heads", heads) != heads) {
    config.refuse_value("num_key_value_heads", fmt::format("but latent attention has as many as heads, {}", heads));
  }
  return family;
}

void add_latent_attention(Block& block, const std::string& module, int64_t hidden, int64_t heads,
                          const LatentFamily& family) {
  Attention& attention = block.attention;
  attention.layout = QkvLayout::kLatent;
  attention.heads = attention.kv_heads = heads;
  attention.head_dim = family.unturned + family.turned;
  attention.value_dim = family.value_dim;
  attention.scale = static_cast<float>(1.0 / std::sqrt(static_cast<double>(attention.head_dim)));
  attention.latent.rank = family.rank;
  attention.latent.rope_dim = family.turned;
  attention.latent.kv_norm = weight_norm(module + "kv_a_layernorm");
  LatentLinears linears;
  const int64_t q_rows = heads * attention.head_dim;
  if (family.q_rank > 0) {
    linears.q_down = make_linear(module + "q_a_proj", family.q_rank, hidden, family.bias);
    linears.q = make_linear(module + "q_b_proj", q_rows, family.q_rank, false);
    attention.latent.q_norm = weight_norm(module + "q_a_layernorm");
  } else {
    linears.q = make_linear(module + "q_proj", q_rows, hidden, false);
  }
  linears.kv_down = make_linear(module + "kv_a_proj_with_mqa", family.rank + family.turned, hidden, family.bias);
  linears.kv_up = make_linear(module + "kv_b_proj", heads * (family.unturned + family.value_dim), family.rank, false);
  linears.output = make_linear(module + "o_proj", hidden, heads * family.value_dim, family.bias);
  connect_latent_attention(block, linears);
}

void set_latent_rope(Graph& graph, const ConfigReader& config, bool interleaved) {
  RopeRules rules;
  rules.rotated = graph.blocks.front().attention.latent.rope_dim;
  rules.interleaved = interleaved;
  set_rope(graph, config, rules);
  const Json scaling = config.object(config.has("rope_scaling") ? "rope_scaling" : "rope_parameters");
  const ConfigReader settings(scaling, config.origin(), "rope_scaling.");
  const std::string type = settings.text(settings.has("rope_type") ? "rope_type" : "type", "default");
  const double all_dim = settings.number("mscale_all_dim", 0.0);
  if (type == "default" || all_dim == 0.0) return;
  // The scores' share of yarn's scale (arXiv 2309.00071, section 3.4), squared as queries and keys each have it.
  const double factor = settings.positive("factor");
  const double scale = factor <= 1.0 ? 1.0 : 0.1 * all_dim * std::log(factor) + 1.0;
  for (Block& block : graph.blocks) block.attention.scale *= static_cast<float>(scale * scale);
}

}  // namespace bitloom::arch
