#pragma once
// Activations of one block, sized once per shape of pass and used again from block to block.

#include <cstdint>
#include <vector>

#include "forward/attention/attention.h"
#include "forward/layers/routing.h"
#include "forward/weights.h"
#include "model/graph.h"

namespace bitloom {

struct Workspace {
  std::vector<float> hidden;       // [rows, hidden]: the residual stream
  std::vector<float> normed;       // [rows, hidden]: what a branch reads
  std::vector<float> branch;       // [rows, hidden]: what a branch adds
  std::vector<float> qkv;          // see qkv_views()
  std::vector<float> q_latent;     // [rows, rows of q_down], normed (LatentAttention)
  std::vector<float> kv_latent;    // [rows, rank], normed
  std::vector<float> shared_keys;  // [rows, rope_dim], turned: what all heads' keys end in
  std::vector<float> attended;     // [rows, heads * value_dim]
  std::vector<float> gate, up;     // [rows, width] each; a fused gate_up fills `gate` with [rows, 2 width]
  std::vector<float> shared_gate;  // [rows]: what the shared expert's output is multiplied by, before the sigmoid
  Routing routing;                 // of the rows to experts
  // Of all experts, one after the other, top_k * rows in all:
  std::vector<float> routed;                  // [, hidden]: what each reads; then what it gives
  std::vector<float> expert_gate, expert_up;  // [, width], as gate and up
  std::vector<float> narrow;                  // [rows, embedding width] around project_in and project_out
  std::vector<float> rounded;                 // [rows, width] of an input that is rounded before it is read
  std::vector<float> rounded_scales;          // [rows], where rows have scales of their own
  AttentionScratch scratch;
  LinearScratch linears;

  /// Buffers only grow.
  void reserve(const Graph& graph, int64_t rows);
  int64_t bytes() const;
};

}  // namespace bitloom
