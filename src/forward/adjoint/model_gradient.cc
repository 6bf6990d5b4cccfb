#include "forward/adjoint/model_gradient.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "forward/adjoint/block_adjoint.h"
#include "forward/adjoint/embedding_adjoint.h"
#include "forward/block.h"
#include "forward/layers/embedding.h"

namespace bitloom {
namespace {

/// Positions of a model, for sequences as long as those of its batches.
class Ropes {
 public:
  Ropes(const Model& model, const OuterWeights& weights, std::span<const GradientBatch> batches)
      : graph_(model.graph()) {
    for (const Rope& rope : graph_.ropes) ropes_.emplace_back(rope);
    for (const GradientBatch& batch : batches) {
      check_tokens(model, weights, batch.tokens, batch.length);
      for (RopeTable& rope : ropes_) rope.reach(batch.length);
    }
  }
  const RopeTable* of(size_t block) const {
    const int rope = graph_.blocks[block].attention.rope;
    return rope < 0 ? nullptr : &ropes_[static_cast<size_t>(rope)];
  }

 private:
  const Graph& graph_;
  std::vector<RopeTable> ropes_;
};

/// The stream behind the last block [rows, hidden]; `before` is shown that before each.
std::vector<float> run_blocks(const Graph& graph, const ModelWeights& weights, const Ropes& ropes,
                              const GradientBatch& batch, ThreadPool& threads,
                              const std::function<void(std::vector<float> stream)>& before) {
  const Pass pass = Pass::whole(batch.batch, batch.length);
  const int64_t count = pass.rows() * graph.hidden;
  Workspace work;
  work.reserve(graph, pass.rows());
  embed_tokens(graph, weights, batch.tokens, pass, work, threads);
  for (size_t b = 0; b < graph.blocks.size(); ++b) {
    if (before) before({work.hidden.begin(), work.hidden.begin() + count});
    BlockRunner(graph, static_cast<int>(b), weights.blocks[b], ropes.of(b)).run(pass, work, threads);
  }
  return {work.hidden.begin(), work.hidden.begin() + count};
}

}  // namespace

double model_loss(const Model& model, const GradientBatch& batch, ThreadPool& threads) {
  const ModelWeights weights = load_weights(model);
  const Ropes ropes(model, weights, {&batch, 1});
  std::vector<float> stream = run_blocks(model.graph(), weights, ropes, batch, threads, {});
  return head_adjoint(model.graph(), weights, stream.data(), batch.batch * batch.length, batch.loss, {}, threads);
}

double model_gradient(const Model& model, std::span<const GradientBatch> batches, const GradientSink& sink,
                      const BlockInputGradient& blocks, ThreadPool& threads) {
  const Graph& graph = model.graph();
  const ModelWeights weights = load_weights(model);
  const Ropes ropes(model, weights, batches);
  double total = 0;
  std::vector<std::vector<std::vector<float>>> inputs(batches.size());  // of each block, by batch
  std::vector<std::vector<float>> gradients;
  for (size_t k = 0; k < batches.size(); ++k) {
    gradients.push_back(run_blocks(graph, weights, ropes, batches[k], threads,
                                   [&](std::vector<float> stream) { inputs[k].push_back(std::move(stream)); }));
    const int64_t rows = batches[k].batch * batches[k].length;
    total += head_adjoint(graph, weights, gradients[k].data(), rows, batches[k].loss, sink, threads);
  }
  for (size_t b = graph.blocks.size(); b-- > 0;) {
    BlockAdjoint block(graph, static_cast<int>(b), weights.blocks[b], ropes.of(b));
    for (size_t k = 0; k < batches.size(); ++k) {
      const Pass pass = Pass::whole(batches[k].batch, batches[k].length);
      block.run(pass, inputs[k][b].data(), threads);
      inputs[k].pop_back();
      block.backward(gradients[k].data(), sink, threads);
      if (blocks) blocks(static_cast<int>(b), gradients[k]);
    }
  }
  for (size_t k = 0; k < batches.size(); ++k) {
    const Pass pass = Pass::whole(batches[k].batch, batches[k].length);
    embedding_adjoint(graph, weights, batches[k].tokens, pass, std::move(gradients[k]), sink, threads);
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
