#include "model/block_parts.h"

#include <fmt/format.h>

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

void connect_latent_attention(Block& block, const LatentLinears& linears) {
  Attention& attention = block.attention;
  LatentAttention& latent = attention.latent;
  const int input = add_input(block, {"attention", linears.kv_down.in, Producer::kAttentionNorm});
  const bool narrow = linears.q_down.present();
  latent.q_down = add_present(block, input, linears.q_down, "q_a");
  if (!narrow) attention.q = add_linear(block, input, linears.q, "q");
  latent.kv_down = add_linear(block, input, linears.kv_down, "kv_a");
  if (narrow) {
    const int of_q = add_input(block, {"q_latent", linears.q.in, Producer::kLatent});
    attention.q = add_linear(block, of_q, linears.q, "q_b");
  }
  const int of_kv = add_input(block, {"kv_latent", linears.kv_up.in, Producer::kLatent});
  latent.kv_up = add_linear(block, of_kv, linears.kv_up, "kv_b");
  const int output = add_input(block, {"attention_output", linears.output.in, Producer::kAttention});
  attention.output = add_linear(block, output, linears.output, "output");
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

void connect_experts(Block& block, const ExpertLinears& linears) {
  Experts& experts = block.experts;
  const int input = add_input(block, {"mlp", linears.router.in, Producer::kMlpNorm});
  experts.router = add_present(block, input, linears.router, "router");
  experts.shared_gate = add_present(block, input, linears.shared_gate, "shared_expert_gate");
  experts.mlps.assign(linears.experts.size(), block.mlp);
  const auto add_readers = [&block](int reads, const MlpLinears& of, const std::string& name, Mlp& mlp) {
    mlp.gate = add_present(block, reads, of.gate, name + (mlp.fused_gate_up ? "gate_up" : "gate"));
    mlp.up = add_present(block, reads, of.up, name + "up");
    mlp.width = of.down.in;
  };
  const auto name_of = [](size_t e) { return fmt::format("experts.{}.", e); };
  if (linears.shared.down.present()) add_readers(input, linears.shared, "shared_expert.", block.mlp);
  for (size_t e = 0; e < experts.mlps.size(); ++e) {
    const auto expert = static_cast<int>(e);
    const int rows = add_input(block, {name_of(e) + "mlp", linears.router.in, Producer::kRouter, expert});
    add_readers(rows, linears.experts[e], name_of(e), experts.mlps[e]);
  }
  const auto add_down = [&block](const Linear& down, const std::string& name, int expert) {
    return add_linear(block, add_input(block, {name + "mlp_down", down.in, Producer::kMlp, expert}), down,
                      name + "down");
  };
  if (linears.shared.down.present()) block.mlp.down = add_down(linears.shared.down, "shared_expert.", -1);
  for (size_t e = 0; e < experts.mlps.size(); ++e) {
    experts.mlps[e].down = add_down(linears.experts[e].down, name_of(e), static_cast<int>(e));
  }
}

const Linear& linear_at(const Block& block, int index) {
  static const Linear absent;
  return index < 0 ? absent : block.linears[static_cast<size_t>(index)];
}

}  // namespace bitloom
