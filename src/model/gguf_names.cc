#include "model/gguf_names.h"

#include "base/error.h"
#include "model/block_parts.h"

namespace bitloom {
namespace {

using Places = std::map<std::string, GgufPlace>;

void place(Places& places, const Norm& norm, const std::string& base, GgufLayout layout) {
  if (!norm.weight.empty()) places[norm.weight] = {base + ".weight", layout, 0, 0};
  if (!norm.bias.empty()) places[norm.bias] = {base + ".bias", GgufLayout::kPlain, 0, 0};
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

void place_attention(Places& places, const Block& of, const std::string& block, bool paired, GgufLayout norm) {
  const Attention& attention = of.attention;
  const auto at = [&of](int index) -> const Linear& { return linear_at(of, index); };
  const auto order = [&](int64_t heads) {
    return GgufPlace{"", paired ? GgufLayout::kPairedRows : GgufLayout::kPlain, heads, attention.head_dim};
  };
  if (attention.layout == QkvLayout::kSeparate) {
    place(places, at(attention.q), block + "attn_q", order(attention.heads));
    place(places, at(attention.k), block + "attn_k", order(attention.kv_heads));
    place(places, at(attention.v), block + "attn_v");
  } else {
    const bool grouped = attention.layout == QkvLayout::kPerHead;
    const GgufLayout layout = grouped ? GgufLayout::kGroupedRows : GgufLayout::kPlain;
    place(places, at(attention.q), block + "attn_qkv", {"", layout, attention.heads, attention.head_dim});
  }
  place(places, at(attention.output), block + "attn_output");
  place(places, attention.q_norm, block + "attn_q_norm", norm);
  place(places, attention.k_norm, block + "attn_k_norm", norm);
}

void place_block(Places& places, const Block& block, const std::string& name, bool paired, GgufLayout norm) {
  place(places, block.attention_norm, name + "attn_norm", norm);
  place_attention(places, block, name, paired, norm);
  place(places, block.post_attention_norm, name + "post_attention_norm", norm);
  place(places, block.mlp_norm, name + "ffn_norm", norm);
  const auto at = [&block](int index) -> const Linear& { return linear_at(block, index); };
  if (block.mlp.fused_gate_up) {
    place(places, at(block.mlp.gate), name + "ffn_up");
  } else {
    place(places, at(block.mlp.gate), name + "ffn_gate");
    place(places, at(block.mlp.up), name + "ffn_up");
  }
  place(places, at(block.mlp.down), name + "ffn_down");
  place(places, block.post_mlp_norm, name + "post_ffw_norm", norm);
}

}  // namespace

std::map<std::string, GgufPlace> gguf_places(const Graph& graph, const std::string& general_architecture) {
  const GgufLayout norm = adds_one(graph.norm) ? GgufLayout::kPlusOne : GgufLayout::kPlain;
  Places places;
  places[graph.embedding] = {"token_embd.weight", GgufLayout::kPlain, 0, 0};
  if (!graph.position_embedding.empty()) {
    places[graph.position_embedding] = {"position_embd.weight", GgufLayout::kPlain, 0, 0};
  }
  for (size_t i = 0; i < graph.blocks.size(); ++i) {
    place_block(places, graph.blocks[i], fmt::format("blk.{}.", i), general_architecture == "llama", norm);
  }
  place(places, graph.final_norm, "output_norm", norm);
  if (!graph.tied_head) place(places, graph.head, "output");
  return places;
}

std::vector<int64_t> gguf_row_order(const GgufPlace& place) {
  std::vector<int64_t> order;
  const int64_t dim = place.head_dim, half = dim / 2;
  for (int64_t head = 0; head < place.heads; ++head) {
    if (place.layout == GgufLayout::kPairedRows) {
      for (int64_t r = 0; r < dim; ++r) order.push_back(head * dim + (r % half) * 2 + r / half);
    } else {
      for (int64_t part = 0; part < 3; ++part) {
        for (int64_t r = 0; r < dim; ++r) order.push_back((part * place.heads + head) * dim + r);
      }
    }
  }
  return order;
}

double shortest_decimal(double value) {
  const auto narrow = static_cast<float>(value);
  if (static_cast<double>(narrow) != value) return value;
  return std::stod(fmt::format("{}", narrow));
}

}  // namespace bitloom
