#pragma once
// The inputs and linears of a block, connected: what builders of graphs write down once for all architectures.

#include <string>

#include "model/graph.h"

namespace bitloom {

/// An absent one has no weight; a fused layout names q alone, with the rows of all three.
struct AttentionLinears {
  Linear q = {}, k = {}, v = {}, output = {};
};

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

/// The linear at an index of the block's parts; an absent one (-1) is an empty Linear.
const Linear& linear_at(const Block& block, int index);

}  // namespace bitloom
