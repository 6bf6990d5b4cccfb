#pragma once
// Which channels of an input are alike enough to be merged (QLLM, Liu et al., 2310.08041, section 3.1.2), so that the
// large ones that are split (3.1.1) find slots.
//
//   T_c = max(1, ceil(max|x_c| / theta))                                   channel c becomes T_c of x_c / T_c
//   D(i, j) = E (x_i - x_j)^2 * sum over outputs (w_i - w_j)^2 / 4          what merging i and j costs (equation 5,
//                                                                          summed over all that reads the input)
//
// With the second moments G = E x x^T and V = W^T W, or W^T diag(a) W where outputs count by weights a, (x_i - x_j)^2
// is G_ii + G_jj - 2 G_ij, and likewise of w. Even channels each propose the odd one that they are likest (bipartite
// matching, as of ToMe, Bolya et al., 2210.09461); those of least D are merged, several into one where several propose
// it. Split channels take no part. The released code scores pairs by |x_i - x_j|^2 (sum w_i + sum w_j)^2, which is not
// what merging costs; this is.

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "base/threads.h"
#include "format/activations/channel_moves.h"

namespace bitloom {

/// T [channels] of max|x_c| [channels] and theta > 0.
std::vector<int64_t> parts_of_channels(std::span<const float> absmax, double theta);

/// D of every even channel i and odd channel j.
class PairCosts {
 public:
  /// inputs G and weights V, both [channels, channels] row-major; fp64 inside.
  PairCosts(int64_t channels, std::span<const float> inputs, std::span<const float> weights, ThreadPool& threads);
  int64_t channels() const { return channels_; }
  float of(int64_t even, int64_t odd) const { return costs_[static_cast<size_t>(even / 2 * odds_ + odd / 2)]; }

 private:
  int64_t channels_, odds_;
  std::vector<float> costs_;  // [evens, odds]
};

/// As many moves as the parts T [channels] need, sum of T_c - 1; nullopt where too few channels are left to be merged.
/// Slots are given to copies in the order of the channels.
std::optional<ChannelMoves> match_channels(std::span<const int64_t> parts, const PairCosts& costs);

}  // namespace bitloom
