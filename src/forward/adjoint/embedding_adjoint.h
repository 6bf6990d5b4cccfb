#pragma once
// From the gradient of the residual stream before the first block to those of what it was made from.

#include <cstdint>
#include <span>
#include <vector>

#include "forward/adjoint/gradient_sink.h"
#include "forward/pass.h"
#include "forward/weights.h"

namespace bitloom {

/// d [rows, hidden]: the gradient of what embed_tokens() gave of these tokens. Memory: a Workspace of the rows where
/// there is a norm or a projection.
void embedding_adjoint(const Graph& graph, const OuterWeights& weights, std::span<const int32_t> tokens,
                       const Pass& pass, std::vector<float> d, const GradientSink& sink, ThreadPool& threads);

}  // namespace bitloom
