#pragma once
// Cross-layer equalization (Nagel et al., "Data-free quantization", ICCV 2019, equation 11): of two layers between
// which a channel's scale is free, both get the same range.
//
//   s_c = sqrt(r1_c / r2_c),  W1[c, :] <- W1[c, :] / s_c,  W2[:, c] <- W2[:, c] s_c
//
// with r1_c = max|W1[c, :]| and r2_c = max|W2[:, c]|; afterwards both are sqrt(r1_c r2_c). Pairs are v -> output and
// up -> down, where they are exact (transform/scaling/channel_groups.h). No two pairs of a transformer share a matrix,
// so the paper's iteration ends after its first pass. Norms are no partner here: without data a norm's weight says too
// little of the range of its output; with data that is what smoothing does.

#include <span>
#include <vector>

#include "base/threads.h"
#include "transform/scaling/channel_scaling.h"
#include "transform/transform.h"

namespace bitloom {

/// s [n] of the ranges r1 and r2 [n], within [1e-8, 1e8]; 1 where a range is zero. fp64 inside.
std::vector<float> equalizing_scales(std::span<const float> r1, std::span<const float> r2);

/// Equalizes the block's pairs whose second layer is targeted. Channels that share a scale (grouped queries) have one
/// row in W1 and count with their greatest range in W2.
TensorEdits equalize_block(const Model& model, int block, const EqualizeTransform& transform,
                           const SitePredicate& targeted, ThreadPool& threads);

}  // namespace bitloom
