#pragma once
// How much a model loses by an error in one of its matrices, found by trying (the linearity theorem of HIGGS; papers'
// beyond page, 2.7 b):
//
//   KL(model || model with matrix m off by a relative squared error t) ~ a_m t
//
// Normal noise of that size takes the place of rounding errors, so nothing need be rounded.

#include <cstdint>
#include <string>
#include <vector>

#include "base/context.h"
#include "model/model.h"

namespace bitloom {

/// Matrices that are disturbed together, and by how much: t = sum (w - w')^2 / sum w^2, the same in each row.
struct Disturbance {
  std::vector<std::string> tensors;
  double error = 0;
};

/// Tokens that are looked at: the first so many of each of the first sequences.
inline constexpr int64_t kProbeSequences = 4, kProbeTokens = 256;

/// a_m >= 0 in nats a token per unit of error, of each disturbance alone. `sequences` are token ids; one has two at
/// least. A forward pass of kProbeSequences * kProbeTokens tokens each. Memory: the largest disturbed matrices in fp32
/// beside what evaluating the model takes. The same values for any number of threads. Error(kUsage) without a sequence
/// of two tokens.
std::vector<double> probe_sensitivities(const Model& model, const std::vector<Disturbance>& disturbances,
                                        const std::vector<std::vector<int32_t>>& sequences, uint64_t seed,
                                        Context& context);

}  // namespace bitloom
