#pragma once
// For tests only: what the linear layers of a model read.

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "forward/block.h"
#include "forward/layers/embedding.h"

namespace bitloom::testing {

/// visit(block, input, x [rows, width]) for every input of every block, in the order of execution, over whole
/// sequences, tokens [batch, length]. An expert's rows may be none. Returns the residual stream behind the last block.
/// With `format` every input is rounded to it before it is read.
template <typename Visit>
std::vector<float> visit_inputs(const Model& model, std::span<const int32_t> tokens, int64_t batch, int64_t length,
                                ThreadPool& threads, const Visit& visit,
                                const std::optional<ActivationFormat>& format = std::nullopt) {
  const Graph& graph = model.graph();
  std::vector<RopeTable> ropes;
  for (const Rope& rope : graph.ropes) ropes.emplace_back(rope).reach(length);
  const Pass pass = Pass::whole(batch, length);
  Workspace work;
  work.reserve(graph, pass.rows());
  embed_tokens(graph, load_outer_weights(model), tokens, pass, work, threads);
  for (int b = 0; b < static_cast<int>(graph.blocks.size()); ++b) {
    BlockWeights weights = load_block_weights(model, b);
    const int rope = graph.blocks[static_cast<size_t>(b)].attention.rope;
    const BlockRunner runner(graph, b, weights, rope < 0 ? nullptr : &ropes[static_cast<size_t>(rope)]);
    for (int input = 0; input < runner.inputs(); ++input) {
      if (format) weights.rounders.emplace(input, InputRounder(*format, input_at(graph, b, input).width));
      visit(b, input, runner.reach(input, pass, work, threads));
    }
    runner.finish(pass, work, threads);
  }
  return {work.hidden.begin(), work.hidden.begin() + pass.rows() * graph.hidden};
}

}  // namespace bitloom::testing
