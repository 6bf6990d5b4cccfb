#pragma once
// How much a model loses by an error in one of its matrices (papers' beyond page, 2.7):
//
//   KL(model || model with matrix m off by a relative squared error t) ~ a_m t,   t = sum (w - w')^2 / sum w^2
//
// for errors like noise, whose size follows that of the row. Two ways to a_m: by gradients, of all matrices at once,
// and by trying, which is the definition.

#include <cstdint>
#include <string>
#include <vector>

#include "base/context.h"
#include "base/ranks.h"
#include "model/model.h"

namespace bitloom {

/// By gradients: the second-order term of the KL (Fisher information). With labels drawn from the model itself, N of
/// them, and G the gradient of a sequence's sum of -log p(label) with respect to W,
///   a = 1/(2N) sum_sequences sum_r |G_r|^2 mean_c W(r, c)^2
/// `groups` are tensors of linear layers of the blocks that are off together; `sequences` are token ids, of which the
/// first kGradientTokens of the first kGradientSequences are read. Memory: what model_gradient takes for one of them
/// (forward/adjoint/model_gradient.h). The same values for any number of threads. Error(kUsage) without a sequence of
/// two tokens; Error(kFailed) naming the first tensor of a group whose gradients are not finite, and where those of all
/// groups are 0. Ranks share the sequences.
std::vector<double> gradient_sensitivities(const Model& model, const std::vector<std::vector<std::string>>& groups,
                                           const std::vector<std::vector<int32_t>>& sequences, uint64_t seed,
                                           Ranks& ranks, Context& context);
inline constexpr int64_t kGradientSequences = 8, kGradientTokens = 512;

/// Matrices that are disturbed together, and by how much: t, the same in each row.
struct Disturbance {
  std::vector<std::string> tensors;
  double error = 0;
};

/// By trying: KL / t with normal noise of the size t added, for each disturbance alone. Linear layers and the
/// embedding. A forward pass of kProbeSequences * kProbeTokens tokens each. Memory: the largest disturbed matrices in
/// fp32 beside what evaluating the model takes. The same values for any number of threads. Error(kUsage) without a
/// sequence of two tokens. Ranks share the disturbances.
std::vector<double> probe_sensitivities(const Model& model, const std::vector<Disturbance>& disturbances,
                                        const std::vector<std::vector<int32_t>>& sequences, uint64_t seed, Ranks& ranks,
                                        Context& context);
inline constexpr int64_t kProbeSequences = 4, kProbeTokens = 256;

/// Bytes that the two take at most beside what the process holds, from shapes alone.
int64_t gradient_sensitivities_memory(const Model& model, int threads);
int64_t probe_sensitivities_memory(const Model& model, const std::vector<Disturbance>& disturbances, int threads);

}  // namespace bitloom
