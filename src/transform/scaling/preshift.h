#pragma once
// Channels raised by powers of two before they are rounded, so that one scale serves all of them: LLM-FP4's pre-shifted
// exponent bias (Liu et al., 2310.16836, equation 15), folded into what makes the input.
//
//   X_j <- X_j 2^b_j,  W_j <- W_j 2^-b_j,   b_j = clamp(round(log2(max|X| / max|X_j|)), 0, limit)
//
// Exact: exponents change and nothing else. The input's cast then has no work by channel, but the weights are rounded
// with their columns lowered, which costs them more than a shift in the cast ("-shift" of
// format/activations/activation_format.h) where they have few exponent bits: a lowered FP4 code is in general no FP4
// code. A channel that the data never touched keeps b = 0; channels that must share a shift (grouped queries) share
// that of the greatest.

#include <span>
#include <vector>

#include "base/threads.h"
#include "transform/scaling/smooth.h"

namespace bitloom {

/// s = 2^-b [n] of x_absmax [n], `most` the greatest magnitude of the input.
std::vector<float> preshift_scales(std::span<const float> x_absmax, float most, int64_t limit);

/// Every group of the block that has an absorber and a targeted reader; those without stay (the cast may shift them).
/// Error(kUsage) for a limit outside 0 .. 31, Error(kFailed) when the maxima of a group to be shifted are missing or
/// have another length.
TensorEdits preshift_block(const Model& model, int block, const ChannelMaxima& x_absmax,
                           const PreshiftTransform& transform, const SitePredicate& targeted);

}  // namespace bitloom
