#include "forward/adjoint/model_gradient.h"

#include <algorithm>
#include <vector>

#include "forward/adjoint/block_adjoint.h"
#include "forward/block.h"
#include "forward/embedding.h"

namespace bitloom {

double model_gradient(const Model& model, std::span<const GradientBatch> batches, const GradientSink& sink,
                      const BlockInputGradient& blocks, ThreadPool& threads) {
  const Graph& graph = model.graph();
  const ModelWeights weights = load_weights(model);
  std::vector<RopeTable> ropes;
  for (const Rope& rope : graph.ropes) ropes.emplace_back(rope);
  for (const GradientBatch& batch : batches) {
    check_tokens(model, weights, batch.tokens, batch.length);
    for (RopeTable& rope : ropes) rope.reach(batch.length);
  }
  const auto rope_of = [&](size_t b) {
    const int rope = graph.blocks[b].attention.rope;
    return rope < 0 ? nullptr : &ropes[static_cast<size_t>(rope)];
  };
  double total = 0;
  std::vector<std::vector<std::vector<float>>> inputs(batches.size());  // of each block, by batch
  std::vector<std::vector<float>> gradients;
  for (size_t k = 0; k < batches.size(); ++k) {
    const Pass pass = Pass::whole(batches[k].batch, batches[k].length);
    Workspace work;
    work.reserve(graph, pass.rows());
    embed_tokens(graph, weights, batches[k].tokens, pass, work, threads);
    const int64_t count = pass.rows() * graph.hidden;
    for (size_t b = 0; b < graph.blocks.size(); ++b) {
      inputs[k].emplace_back(work.hidden.begin(), work.hidden.begin() + count);
      BlockRunner(graph, static_cast<int>(b), weights.blocks[b], rope_of(b)).run(pass, work, threads);
    }
    gradients.emplace_back(work.hidden.begin(), work.hidden.begin() + count);
    total += head_adjoint(graph, weights, gradients[k].data(), pass.rows(), batches[k].loss, sink, threads);
  }
  for (size_t b = graph.blocks.size(); b-- > 0;) {
    BlockAdjoint block(graph, static_cast<int>(b), weights.blocks[b], rope_of(b));
    for (size_t k = 0; k < batches.size(); ++k) {
      const Pass pass = Pass::whole(batches[k].batch, batches[k].length);
      block.run(pass, inputs[k][b].data(), threads);
      inputs[k].pop_back();
      block.backward(gradients[k].data(), sink, threads);
      if (blocks) blocks(static_cast<int>(b), gradients[k]);
    }
  }
  return total;
}

double model_gradient(const Model& model, std::span<const int32_t> tokens, int64_t batch, int64_t length,
                      const RowLoss& loss, const GradientSink& sink, const BlockInputGradient& blocks,
                      ThreadPool& threads) {
  const GradientBatch one{tokens, batch, length, loss};
  return model_gradient(model, std::span(&one, 1), sink, blocks, threads);
}

}  // namespace bitloom
