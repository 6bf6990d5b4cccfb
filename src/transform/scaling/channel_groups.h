#pragma once
// Who shares the channels of an input, and who can take a scale back exactly.
//
// The linears that read one input x [tokens, channels] may have their columns multiplied by s if whatever makes x
// divides it by s: W x = (W diag(s)) (diag(1/s) x). What makes x is
//   a norm:                 its weight (and bias) per channel; of latents too;
//   attention, for output:  the rows of v, unless values are clipped, normed or keys; softmax averages are linear in
//                           v. With grouped queries the query heads of one key head read the same v, so their channels
//                           share scales;
//   a gated MLP, for down:  the rows of up, in which act(gate) * up is linear; act itself is not touched, and a clamped
//                           gate has none;
//   a plain MLP, for down:  the rows of up if the activation is ReLU, as relu(x / s) = relu(x) / s for s > 0; no other
//                           activation is homogeneous.
// Where none of these holds (a block that reads the residual stream without a norm, a norm without a weight, GELU), or
// a tensor involved has yet another reader, there is no absorber.

#include <cstdint>
#include <span>
#include <variant>
#include <vector>

#include "model/graph.h"

namespace bitloom {

/// Channel c is divided by s[c] in the norm's weight and bias.
struct NormAbsorber {
  Norm norm;
  NormKind kind = NormKind::kRms;
};

/// Row rows[i] of the layer, and its bias there, is divided by s[i].
struct RowAbsorber {
  Linear linear;
  std::vector<int64_t> rows;
};

using Absorber = std::variant<std::monostate, NormAbsorber, RowAbsorber>;

struct ChannelGroup {
  int input = 0;                  // of the first reader: index into Block::inputs
  std::vector<Site> readers;      // into the graph, which must outlive this
  int64_t scales = 0;             // how many scales are free to choose
  std::vector<int64_t> scale_of;  // [channels]: which of them each channel takes
  Absorber absorber;

  int64_t channels() const { return static_cast<int64_t>(scale_of.size()); }
  bool absorbs() const { return !std::holds_alternative<std::monostate>(absorber); }

  /// per_channel [channels] -> [scales]: the greatest, or the mean, of the channels that share a scale.
  std::vector<float> maximum(std::span<const float> per_channel) const;
  std::vector<double> mean(std::span<const double> per_channel) const;
  /// per_scale [scales] -> [channels].
  std::vector<double> spread(std::span<const float> per_scale) const;
};

/// Every input of the block, in the order of execution. Attention and MLP of a parallel block that read the output of
/// one and the same norm are one group; so are a router, a shared expert with its gate and all experts.
std::vector<ChannelGroup> channel_groups(const Graph& graph, int block);

/// Whether a layer makes the values alone, and not the keys too.
bool has_own_values(const Attention& attention);
/// Whether what attention averages is linear in the rows of that layer: neither clipped nor normed.
bool values_are_linear(const Attention& attention);
/// First row of the layer that makes the values (v, the fused q, or kv_up), per key head: Attention::values() rows
/// each.
std::vector<int64_t> value_rows(const Attention& attention);
/// The layer that makes the values.
const Linear& value_linear(const Block& block);

}  // namespace bitloom
