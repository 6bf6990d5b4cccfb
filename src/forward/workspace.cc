#include "forward/workspace.h"

#include <algorithm>

#include "forward/attention/heads.h"
#include "model/block_parts.h"

namespace bitloom {
namespace {

void grow(std::vector<float>& buffer, int64_t rows, int64_t width) {
  const size_t needed = static_cast<size_t>(rows * width);
  if (buffer.size() < needed) buffer.resize(needed);
}

int64_t gate_width(const Mlp& mlp) { return mlp.fused_gate_up ? 2 * mlp.width : mlp.width; }

void reserve_experts(const Experts& experts, int64_t hidden, int64_t rows, Workspace& work) {
  const int64_t slots = rows * experts.top_k;
  const Mlp& mlp = experts.mlps.front();
  if (experts.shared_gate >= 0) grow(work.shared_gate, rows, 1);
  grow(work.routing.logits, rows, static_cast<int64_t>(experts.mlps.size()));
  grow(work.routed, slots, hidden);
  grow(work.expert_gate, slots, gate_width(mlp));
  grow(work.expert_up, slots, mlp.gated ? mlp.width : 0);
}

}  // namespace

int64_t Workspace::bytes() const {
  size_t floats = 0;
  for (const std::vector<float>* buffer :
       {&hidden, &normed, &branch, &qkv, &q_latent, &kv_latent, &shared_keys, &attended, &gate, &up, &shared_gate,
        &routing.logits, &routed, &expert_gate, &expert_up, &narrow, &rounded, &rounded_scales}) {
    floats += buffer->size();
  }
  return static_cast<int64_t>(floats * sizeof(float));
}

void Workspace::reserve(const Graph& graph, int64_t rows) {
  grow(hidden, rows, graph.hidden);
  grow(normed, rows, graph.hidden);
  grow(branch, rows, graph.hidden);
  for (const Block& block : graph.blocks) {
    grow(qkv, rows, qkv_width(block.attention));
    grow(attended, rows, block.attention.heads * block.attention.values());
    const LatentAttention& latent = block.attention.latent;
    if (latent.q_down >= 0) grow(q_latent, rows, linear_at(block, latent.q_down).out);
    grow(kv_latent, rows, latent.rank);
    grow(shared_keys, rows, latent.rope_dim);
    grow(gate, rows, gate_width(block.mlp));
    grow(up, rows, block.mlp.gated ? block.mlp.width : 0);
    if (block.experts.present()) reserve_experts(block.experts, graph.hidden, rows, *this);
  }
  if (graph.project_in.present()) grow(narrow, rows, graph.project_in.in);
  if (graph.project_out.present()) grow(narrow, rows, graph.project_out.out);
}

}  // namespace bitloom
