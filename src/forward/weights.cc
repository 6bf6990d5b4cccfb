#include "forward/weights.h"

#include "linalg/gemm.h"

namespace bitloom {
namespace {

/// Looks tensors up under the names that the graph gives.
class Loader {
 public:
  explicit Loader(const Checkpoint& checkpoint) : checkpoint_(checkpoint) {}

  std::vector<float> vector(const std::string& name) const {
    return name.empty() ? std::vector<float>{} : checkpoint_.vector(name);
  }

  NormWeights norm(const Norm& norm, NormKind kind) const {
    return {kind, checkpoint_.graph().norm_eps, vector(norm.weight), vector(norm.bias)};
  }
  NormWeights norm(const Norm& named) const { return norm(named, checkpoint_.graph().norm); }

  LinearWeights linear(const Linear& linear) const {
    return linear.present() ? LinearWeights{checkpoint_.matrix(linear), vector(linear.bias)} : LinearWeights{};
  }

  RowSourcePtr rows(const std::string& name) const { return name.empty() ? nullptr : checkpoint_.tensor(name).rows; }

  BlockWeights block(const Block& block) const {
    BlockWeights weights;
    weights.attention_norm = norm(block.attention_norm);
    weights.post_attention_norm = norm(block.post_attention_norm);
    weights.attention_residual_norm = norm(block.attention_residual_norm);
    weights.mlp_norm = norm(block.mlp_norm);
    weights.post_mlp_norm = norm(block.post_mlp_norm);
    weights.mlp_residual_norm = norm(block.mlp_residual_norm);
    weights.q_norm = norm(block.attention.q_norm);
    weights.k_norm = norm(block.attention.k_norm);
    for (const Linear& at : block.linears) weights.linears.push_back(linear(at));
    return weights;
  }

 private:
  const Checkpoint& checkpoint_;
};

}  // namespace

void LinearWeights::apply(const float* x, int64_t rows, float* y, ThreadPool& threads) const {
  bitloom::linear(x, in(), rows, *weight, bias.empty() ? nullptr : bias.data(), y, out(), threads);
}

OuterWeights load_outer_weights(const Checkpoint& checkpoint) {
  const Graph& graph = checkpoint.graph();
  const Loader load(checkpoint);
  OuterWeights weights;
  weights.embedding = load.rows(graph.embedding);
  weights.positions = load.rows(graph.position_embedding);
  weights.project_in = load.linear(graph.project_in);
  weights.project_out = load.linear(graph.project_out);
  weights.head = load.linear(graph.head);
  weights.final_norm = load.norm(graph.final_norm);
  return weights;
}

BlockWeights load_block_weights(const Checkpoint& checkpoint, int block) {
  return Loader(checkpoint).block(checkpoint.graph().blocks[static_cast<size_t>(block)]);
}

ModelWeights load_weights(const Checkpoint& checkpoint) {
  ModelWeights weights;
  static_cast<OuterWeights&>(weights) = load_outer_weights(checkpoint);
  for (size_t b = 0; b < checkpoint.graph().blocks.size(); ++b) {
    weights.blocks.push_back(load_block_weights(checkpoint, static_cast<int>(b)));
  }
  return weights;
}

}  // namespace bitloom
