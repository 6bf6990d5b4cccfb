#pragma once
// SmoothQuant (Xiao et al., ICML 2023, equation 4): outliers of activations moved into the weights that read them.
//
//   s_j = max|X_j|^alpha / max|W_j|^(1 - alpha),  X_j <- X_j / s_j,  W_j <- W_j s_j
//
// max|W_j| is over the rows of all weights that read channel j. The clamps are the released code's: max|W_j| and s_j at
// least 1e-5. A channel that the data never touched (max|X_j| = 0) keeps s = 1; there the released code multiplies its
// weights by 1e-5. Channels that must share a scale (grouped queries) share the greatest of their maxima.

#include <map>
#include <span>
#include <string_view>
#include <vector>

#include "base/threads.h"
#include "transform/scaling/channel_scaling.h"
#include "transform/transform.h"

namespace bitloom {

/// max|X_j| [channels] of each input of a block, by its index.
using ChannelMaxima = std::map<int, std::vector<float>>;

/// The group's. Error(kFailed), beginning with what was to be done ("smoothing"), where they are missing or have
/// another length.
const std::vector<float>& maxima_of(const ChannelGroup& group, const ChannelMaxima& all, std::string_view doing);

/// s [n] of x_absmax and w_absmax [n]. fp64 inside.
std::vector<float> smooth_scales(std::span<const float> x_absmax, std::span<const float> w_absmax, double alpha);

/// Every group of the block that has an absorber and a targeted reader is smoothed (the paper's code targets q, k, v,
/// gate and up); groups without an absorber stay (channel_groups() tells which). Error(kUsage) for an alpha outside
/// [0, 1], Error(kFailed) when the maxima of a group to be smoothed are missing or have another length.
TensorEdits smooth_block(const Model& model, int block, const ChannelMaxima& x_absmax, const SmoothTransform& transform,
                         const SitePredicate& targeted, ThreadPool& threads);

}  // namespace bitloom
