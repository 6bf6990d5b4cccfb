#include "forward/adjoint/model_gradient.h"

#include <algorithm>
#include <vector>

#include "forward/adjoint/block_adjoint.h"
#include "forward/block.h"
#include "forward/embedding.h"

namespace bitloom {

double model_gradient(const Model& model, std::span<const int32_t> tokens, int64_t batch, int64_t length,
                      const RowLoss& loss, const GradientSink& sink, const BlockInputGradient& blocks,
                      ThreadPool& threads) {
  const Graph& graph = model.graph();
  const ModelWeights weights = load_weights(model);
  check_tokens(model, weights, tokens, length);
  std::vector<RopeTable> ropes;
  for (const Rope& rope : graph.ropes) ropes.emplace_back(rope).reach(length);
  const auto rope_of = [&](size_t b) {
    const int rope = graph.blocks[b].attention.rope;
    return rope < 0 ? nullptr : &ropes[static_cast<size_t>(rope)];
  };
  const Pass pass = Pass::whole(batch, length);
  Workspace work;
  work.reserve(graph, pass.rows());
  embed_tokens(graph, weights, tokens, pass, work, threads);
  const int64_t count = pass.rows() * graph.hidden;
  std::vector<std::vector<float>> inputs;
  for (size_t b = 0; b < graph.blocks.size(); ++b) {
    inputs.emplace_back(work.hidden.begin(), work.hidden.begin() + count);
    BlockRunner(graph, static_cast<int>(b), weights.blocks[b], rope_of(b)).run(pass, work, threads);
  }
  std::vector<float> gradient(work.hidden.begin(), work.hidden.begin() + count);
  const double total = head_adjoint(graph, weights, gradient.data(), pass.rows(), loss, sink, threads);
  for (size_t b = graph.blocks.size(); b-- > 0;) {
    BlockAdjoint block(graph, static_cast<int>(b), weights.blocks[b], rope_of(b));
    block.run(pass, inputs[b].data(), threads);
    inputs.pop_back();
    block.backward(gradient.data(), sink, threads);
    if (blocks) blocks(static_cast<int>(b), gradient);
  }
  return total;
}

}  // namespace bitloom
