#pragma once
// The inputs and linears of a block, connected: what builders of graphs write down once for all architectures.

#include <string>
#include <vector>

#include "model/graph.h"

namespace bitloom {

/// An absent one has no weight; a fused layout names q alone, with the rows of all three.
struct AttentionLinears {
  Linear q = {}, k = {}, v = {}, output = {};
};

/// Appends the inputs "attention" (q_down or else q, and kv_down), "q_latent" (q, where there is a q_down), "kv_latent"
/// (kv_up) and "attention_output", and sets the indices of block.attention. Roles: q_a, q_b, kv_a, kv_b; a single q: q.
struct LatentLinears {
  Linear q_down = {}, q = {}, kv_down = {}, kv_up = {}, output = {};
};
void connect_latent_attention(Block& block, const LatentLinears& linears);

/// A fused gate_up names `gate` alone; an MLP without a gate names up and down.
struct MlpLinears {
  Linear gate = {}, up = {}, down = {};
};

/// Appends the inputs "attention" and "attention_output" and their readers, and sets the indices of block.attention.
/// The layout must be set.
void connect_attention(Block& block, const AttentionLinears& linears);

/// Appends the inputs "mlp" and "mlp_down" and their readers, and sets block.mlp's indices and width. `gated` and
/// `fused_gate_up` must be set.
void connect_mlp(Block& block, const MlpLinears& linears);

/// Without a shared expert `shared` and `shared_gate` are empty.
struct ExpertLinears {
  Linear router = {}, shared_gate = {};
  MlpLinears shared = {};
  std::vector<MlpLinears> experts = {};
};

/// Appends what a mixture of experts reads, and sets the indices and widths of block.experts and, with a shared expert,
/// block.mlp; `gated`, `fused_gate_up` and `activation` of block.mlp must be set and hold for all experts.
///   "mlp"                       every row: router, the shared expert and its gate
///   "experts.N.mlp"             those of them that the router sends to expert N
///   "shared_expert.mlp_down", "experts.N.mlp_down"
/// Roles are spelled alike: "experts.N.gate".
void connect_experts(Block& block, const ExpertLinears& linears);

/// The linear at an index of the block's parts; an absent one (-1) is an empty Linear.
const Linear& linear_at(const Block& block, int index);

}  // namespace bitloom
