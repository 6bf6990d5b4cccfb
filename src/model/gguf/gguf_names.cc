#include "model/gguf/gguf_names.h"

#include <array>
#include <string_view>

#include "base/error.h"
#include "model/block_parts.h"

namespace bitloom {
namespace {

using Places = std::map<std::string, GgufPlace>;

/// What differs from architecture to architecture, by general.architecture.
struct GgufNaming {
  std::string_view architecture;
  bool paired = false;  // rows of q and k in the order of kPairedRows
  std::string_view mlp_norm = "ffn_norm";
};

constexpr std::array kNamings = {
    GgufNaming{"llama", true},
    GgufNaming{"smollm3", true},
    GgufNaming{"granite", true},
    GgufNaming{"arcee", true},
    GgufNaming{"olmo", true},
    GgufNaming{"mistral3", true},
    GgufNaming{"granitemoe", true},
    GgufNaming{"seed_oss", false, "post_attention_norm"},
    GgufNaming{"gpt-oss", false, "post_attention_norm"},
    GgufNaming{"glm4moe", false, "post_attention_norm"},
};

GgufNaming naming_of(const std::string& architecture) {
  for (const GgufNaming& naming : kNamings) {
    if (naming.architecture == architecture) return naming;
  }
  return {architecture};
}

/// A norm that two inputs share keeps the name of the first.
void place(Places& places, const Norm& norm, const std::string& base, GgufLayout layout) {
  if (!norm.weight.empty()) places.try_emplace(norm.weight, GgufPlace{base + ".weight", layout});
  if (!norm.bias.empty()) places.try_emplace(norm.bias, GgufPlace{base + ".bias", GgufLayout::kPlain});
}

/// `rows` is the order of the rows, which the bias shares.
void place(Places& places, const Linear& linear, const std::string& base, const GgufPlace& rows = {}) {
  if (!linear.present()) return;
  GgufPlace weight = rows, bias = rows;
  weight.name = base + ".weight";
  bias.name = base + ".bias";
  if (linear.stored_in_out) weight.layout = GgufLayout::kTransposed;
  places[linear.weight] = weight;
  if (!linear.bias.empty()) places[linear.bias] = bias;
}

void place_latents(Places& places, const Block& of, const std::string& block) {
  const Attention& attention = of.attention;
  const LatentAttention& latent = attention.latent;
  const auto at = [&of](int index) -> const Linear& { return linear_at(of, index); };
  place(places, at(latent.q_down), block + "attn_q_a");
  place(places, at(attention.q), block + (latent.q_down < 0 ? "attn_q" : "attn_q_b"));
  place(places, at(latent.kv_down), block + "attn_kv_a_mqa");
  place(places, at(latent.kv_up), block + "attn_kv_b");
  GgufPlace& kv_up = places.at(at(latent.kv_up).weight);
  kv_up.keys = block + "attn_k_b.weight", kv_up.values = block + "attn_v_b.weight";
  kv_up.heads = attention.heads, kv_up.head_dim = attention.head_dim - latent.rope_dim;
  place(places, latent.q_norm, block + "attn_q_a_norm", GgufLayout::kPlain);
  place(places, latent.kv_norm, block + "attn_kv_a_norm", GgufLayout::kPlain);
}

void place_attention(Places& places, const Block& of, const std::string& block, bool paired, GgufLayout norm) {
  const Attention& attention = of.attention;
  const auto at = [&of](int index) -> const Linear& { return linear_at(of, index); };
  const auto order = [&](int64_t heads) {
    return GgufPlace{"", paired ? GgufLayout::kPairedRows : GgufLayout::kPlain, heads, heads, attention.head_dim};
  };
  if (attention.layout == QkvLayout::kLatent) {
    place_latents(places, of, block);
  } else if (attention.layout == QkvLayout::kSeparate) {
    place(places, at(attention.q), block + "attn_q", order(attention.heads));
    place(places, at(attention.k), block + "attn_k", order(attention.kv_heads));
    place(places, at(attention.v), block + "attn_v");
  } else {
    const bool grouped = attention.layout == QkvLayout::kPerHead;
    const GgufLayout layout = grouped ? GgufLayout::kGroupedRows : GgufLayout::kPlain;
    place(places, at(attention.q), block + "attn_qkv",
          {"", layout, attention.heads, attention.kv_heads, attention.head_dim});
  }
  place(places, at(attention.output), block + "attn_output");
  place(places, attention.q_norm, block + "attn_q_norm", norm);
  place(places, attention.k_norm, block + "attn_k_norm", norm);
  if (!attention.sinks.empty()) places[attention.sinks] = {block + "attn_sinks.weight"};
}

/// falcon's two norms of a parallel block are named the other way round.
void place_norms(Places& places, const Block& block, const std::string& name, const GgufNaming& naming,
                 GgufLayout norm) {
  const bool swapped = naming.architecture == "falcon" && block.attention_norm.weight != block.mlp_norm.weight;
  place(places, block.attention_norm, name + (swapped ? "attn_norm_2" : "attn_norm"), norm);
  place(places, block.post_attention_norm, name + "post_attention_norm", norm);
  place(places, block.mlp_norm, name + (swapped ? "attn_norm" : std::string(naming.mlp_norm)), norm);
  place(places, block.post_mlp_norm, name + "post_ffw_norm", norm);
}

/// `kind`: "", or "_shexp" and "_exps" of shared experts and of the others.
void place_mlp(Places& places, const Block& block, const Mlp& mlp, const std::string& name, const std::string& kind,
               const GgufPlace& where = {}) {
  const auto at = [&block](int index) -> const Linear& { return linear_at(block, index); };
  if (mlp.fused_gate_up) {
    place(places, at(mlp.gate), name + "ffn_up" + kind, where);
  } else {
    place(places, at(mlp.gate), name + "ffn_gate" + kind, where);
    place(places, at(mlp.up), name + "ffn_up" + kind, where);
  }
  place(places, at(mlp.down), name + "ffn_down" + kind, where);
}

void place_experts(Places& places, const Block& block, const std::string& name) {
  const Experts& experts = block.experts;
  place(places, linear_at(block, experts.router), name + "ffn_gate_inp");
  place(places, linear_at(block, experts.shared_gate), name + "ffn_gate_inp_shexp");
  if (!experts.choice_bias.empty()) places[experts.choice_bias] = {name + "exp_probs_b.bias"};
  GgufPlace where;
  where.experts = static_cast<int64_t>(experts.mlps.size());
  for (const Mlp& expert : experts.mlps) {
    ++where.expert;
    place_mlp(places, block, expert, name, "_exps", where);
  }
}

void place_block(Places& places, const Block& block, const std::string& name, const GgufNaming& naming,
                 GgufLayout norm) {
  place_norms(places, block, name, naming, norm);
  place_attention(places, block, name, naming.paired, norm);
  place_mlp(places, block, block.mlp, name, block.experts.present() ? "_shexp" : "");
  if (block.experts.present()) place_experts(places, block, name);
}

}  // namespace

std::map<std::string, GgufPlace> gguf_places(const Graph& graph, const std::string& general_architecture) {
  const GgufLayout norm = adds_one(graph.norm) ? GgufLayout::kPlusOne : GgufLayout::kPlain;
  const GgufNaming naming = naming_of(general_architecture);
  Places places;
  places[graph.embedding] = {"token_embd.weight"};
  if (!graph.position_embedding.empty()) places[graph.position_embedding] = {"position_embd.weight"};
  place(places, graph.embedding_norm, "token_embd_norm", norm);
  for (size_t i = 0; i < graph.blocks.size(); ++i) {
    place_block(places, graph.blocks[i], fmt::format("blk.{}.", i), naming, norm);
  }
  place(places, graph.final_norm, "output_norm", norm);
  if (!graph.tied_head) place(places, graph.head, "output");
  return places;
}

std::vector<int64_t> gguf_row_order(const GgufPlace& place) {
  std::vector<int64_t> order;
  const int64_t dim = place.head_dim, half = dim / 2, group = place.kv_heads > 0 ? place.heads / place.kv_heads : 0;
  const auto add_head = [&](int64_t head) {
    for (int64_t r = 0; r < dim; ++r) order.push_back(head * dim + r);
  };
  if (place.layout == GgufLayout::kGroupedRows) {
    for (int64_t head = 0; head < place.kv_heads; ++head) {
      for (int64_t q = 0; q < group; ++q) add_head(head * group + q);
      add_head(place.heads + head);
      add_head(place.heads + place.kv_heads + head);
    }
    return order;
  }
  for (int64_t head = 0; head < place.heads; ++head) {
    for (int64_t r = 0; r < dim; ++r) order.push_back(head * dim + (r % half) * 2 + r / half);
  }
  return order;
}

double shortest_decimal(double value) {
  const auto narrow = static_cast<float>(value);
  if (static_cast<double>(narrow) != value) return value;
  return std::stod(fmt::format("{}", narrow));
}

}  // namespace bitloom
