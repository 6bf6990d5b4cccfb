#pragma once
// From token ids to the residual stream.

#include <cstdint>
#include <span>

#include "forward/pass.h"
#include "forward/weights.h"
#include "forward/workspace.h"

namespace bitloom {

/// Error(kRefused) for a token id outside the vocabulary or `length` positions where fewer are learned.
void check_tokens(const Model& model, const OuterWeights& weights, std::span<const int32_t> tokens, int64_t length);

/// workspace.hidden [rows, hidden] = project_in(embedding[token] * embedding_scale) + positions[position + offset];
/// workspace.narrow: what project_in reads, where there is one.
void embed_before_norm(const Graph& graph, const OuterWeights& weights, std::span<const int32_t> tokens,
                       const Pass& pass, Workspace& workspace, ThreadPool& threads);

/// workspace.hidden [rows, hidden] = embedding_norm(of that)
void embed_tokens(const Graph& graph, const OuterWeights& weights, std::span<const int32_t> tokens, const Pass& pass,
                  Workspace& workspace, ThreadPool& threads);

}  // namespace bitloom
