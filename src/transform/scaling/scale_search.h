#pragma once
// Channel scales searched for the smallest output error of rounding to nearest (AWQ; Lin et al., MLSys 2024, equations
// 4 and 5): of s = x^ratio, the ratio of least
//
//   loss = sum over the input's readers of tr(D H D^T) / tokens,  D = Q(W diag(s)) diag(1/s) - W [out, in]
//
// which is their mean squared output error; H [in, in] is the second moment of the inputs. x_j is the channel's
// magnitude sqrt(mean X_j^2), as it stands on the diagonal of H, where the released code takes mean |X_j|; for channels
// whose values are distributed alike the two differ by one factor, which the normalisation removes. The rest is the
// released code's: s at least 1e-4, then divided by sqrt(max s * min s); ratios 0, 1/steps, ..., (steps - 1)/steps, the
// first of the best. Ratio 0 leaves the weights as they are, so the loss never rises. The released code compares
// outputs of a whole attention or MLP; here each input is searched by the outputs of the layers that read it.
//
// Cost: per reader and ratio one rounding and out * in^2 multiplications. Memory: H and one rounded reader, fp32.

#include <functional>
#include <map>
#include <span>
#include <vector>

#include "base/threads.h"
#include "observe/moment/second_moment.h"
#include "transform/scaling/channel_scaling.h"
#include "transform/transform.h"

namespace bitloom {

/// Second moment of each input of a block, by its index. Not owned.
using ChannelMoments = std::map<int, const SecondMoment*>;

/// Q(w) [out, in] decoded: w rounded to nearest as `linear` will be.
using RoundedWeights = std::function<std::vector<float>(const RowSource& w, const Linear& linear)>;

struct GroupSearch {
  int input = 0;                    // index into Block::inputs
  double plain_loss = 0, loss = 0;  // with s = 1; with the chosen scales
  double ratio = 0;
};

struct ScaleSearchResult {
  TensorEdits edits;
  std::vector<GroupSearch> groups;  // those that were searched
};

/// s [n] of magnitudes x [n] >= 0; all ones for ratio 0. fp64 inside.
std::vector<float> magnitude_scales(std::span<const double> x, double ratio);

/// tr(D H D^T) of one reader; columns s [in], h [in, in] fp32. Products in fp32, sums over rows in fp64; the same for
/// any number of threads.
double scaled_rounding_loss(const RowSource& w, const Linear& linear, std::span<const double> s,
                            std::span<const float> h, const RoundedWeights& rounded, ThreadPool& threads);

/// Searches every group of the block that has an absorber and a targeted reader, but for experts that saw no token.
/// Error(kUsage) for steps < 1,
/// Error(kFailed) when the moment of a group to be searched is missing, empty or has another width.
ScaleSearchResult search_block_scales(const Model& model, int block, const ChannelMoments& moments,
                                      const ScaleSearchTransform& transform, const RoundedWeights& rounded,
                                      const SitePredicate& targeted, ThreadPool& threads);

}  // namespace bitloom
