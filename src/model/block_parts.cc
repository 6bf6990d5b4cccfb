#include "model/block_parts.h"

namespace bitloom {
namespace {

int add_present(Block& block, int input, const Linear& linear, const std::string& role) {
  return linear.present() ? add_linear(block, input, linear, role) : -1;
}

}  // namespace

void connect_attention(Block& block, const AttentionLinears& linears) {
  Attention& attention = block.attention;
  const int input = add_input(block, {"attention", linears.q.in, Producer::kAttentionNorm});
  attention.q = add_present(block, input, linears.q, attention.layout == QkvLayout::kSeparate ? "q" : "qkv");
  attention.k = add_present(block, input, linears.k, "k");
  attention.v = add_present(block, input, linears.v, "v");
  const int output = add_input(block, {"attention_output", linears.output.in, Producer::kAttention});
  attention.output = add_present(block, output, linears.output, "output");
}

void connect_mlp(Block& block, const MlpLinears& linears) {
  Mlp& mlp = block.mlp;
  const int64_t hidden = mlp.gated ? linears.gate.in : linears.up.in;
  const int input = add_input(block, {"mlp", hidden, Producer::kMlpNorm});
  mlp.gate = add_present(block, input, linears.gate, mlp.fused_gate_up ? "gate_up" : "gate");
  mlp.up = add_present(block, input, linears.up, "up");
  const int down = add_input(block, {"mlp_down", linears.down.in, Producer::kMlp});
  mlp.down = add_present(block, down, linears.down, "down");
  mlp.width = linears.down.in;
}

const Linear& linear_at(const Block& block, int index) {
  static const Linear absent;
  return index < 0 ? absent : block.linears[static_cast<size_t>(index)];
}

}  // namespace bitloom
