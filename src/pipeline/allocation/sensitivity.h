#pragma once
// How much a model loses by an error in one of its matrices (papers' beyond page, 2.3 and 2.7):
//
//   KL(model || model with matrix m rounded onto a storage) ~ a_m t,   t = sum (w - w')^2 / sum w^2
//
// with t what the storage takes without data. Two ways to a_m: by gradients, of all matrices at once, which knows what
// error feedback does, and by trying noise, which is the definition where there is none.

#include <cstdint>
#include <string>
#include <vector>

#include "base/context.h"
#include "base/ranks.h"
#include "model/model.h"
#include "round/rounding.h"
#include "round/target.h"

namespace bitloom {

/// Matrices that are rounded alike.
struct RoundedGroup {
  std::vector<std::string> tensors;  // of linear layers of the blocks
  Rounding rounding;
  RoundingTarget target;  // of any width
};

/// By gradients: the second-order term of the KL (Fisher information). With labels drawn from the model itself, N of
/// them, G the gradient of a sequence's sum of -log p(label) with respect to W, v_r the variance of row r's noise for
/// t = 1 (storage_error.h), and f what feedback leaves of it (round/feedback_share.h) on every fourth sequence by
/// factors of the others, since those of its own would promise too much,
///   a = f/(2N) sum_sequences sum_r v_r |G_r|^2
/// `sequences` are token ids, of which the first kGradientTokens of the first kGradientSequences are read, or of the
/// first kFeedbackSequences where a rounding has feedback. Memory: what model_gradient (forward/adjoint) takes for one
/// of them; with feedback for all of them, and the moments of a block. The same values for any number of threads.
/// Error(kUsage) without a sequence of two tokens; Error(kFailed) naming the first tensor of a group whose gradients
/// are not finite, and where those of all groups are 0. Ranks share the sequences unless there is feedback.
std::vector<double> gradient_sensitivities(const Model& model, const std::vector<RoundedGroup>& groups,
                                           const std::vector<std::vector<int32_t>>& sequences, uint64_t seed,
                                           Ranks& ranks, Context& context);
inline constexpr int64_t kGradientSequences = 8, kFeedbackSequences = 32, kGradientTokens = 512;

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
int64_t gradient_sensitivities_memory(const Model& model, const std::vector<RoundedGroup>& groups, int threads);
int64_t probe_sensitivities_memory(const Model& model, const std::vector<Disturbance>& disturbances, int threads);

}  // namespace bitloom
