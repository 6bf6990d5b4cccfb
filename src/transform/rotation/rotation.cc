#include "transform/rotation/rotation.h"

#include "base/error.h"
#include "base/memory/dense_matrix.h"
#include "model/block_parts.h"
#include "transform/pending_edits.h"
#include "transform/rotation/rotated_rows.h"
#include "transform/scaling/channel_groups.h"

namespace bitloom {
namespace {

// Streams of the seed: the residual stream's rotation, and from the second on each block's.
constexpr uint64_t kResidualStream = 0x526f7461;
constexpr uint64_t kHeadStream = kResidualStream + 1;

[[noreturn]] void refuse_graph(const Graph& graph, const std::string& reason) {
  misuse(
      "hadamard: the residual stream of this {} model cannot be rotated: {}; expected RMS norms before attention, "
      "MLP and head alone (head channels can be rotated: residual false)",
      graph.architecture, reason);
}

class RotationFolder {
 public:
  RotationFolder(const Model& model, uint64_t seed)
      : graph_(model.graph()), edits_(model), seed_(seed), cache_(std::make_shared<MatrixCache>(kRotatedBytes)) {}

  void rotate_heads() {
    for (size_t b = 0; b < graph_.blocks.size(); ++b) {
      const Block& block = graph_.blocks[b];
      const Attention& attention = block.attention;
      const auto q = std::make_shared<const RandomRotation>(attention.values(), seed_, kHeadStream + b);
      const Linear& value = value_linear(block);
      const std::vector<int64_t> first_rows = value_rows(attention);
      edits_.set(value.weight, rotated_row_runs(edits_.matrix(value), q, first_rows));
      rotate_bias(value, *q, first_rows);
      const Linear& output = linear_at(block, attention.output);
      edits_.set(output.weight, rotated_columns(edits_.matrix(output), {}, q));
    }
  }

  void rotate_residual() {
    const auto r = std::make_shared<const RandomRotation>(graph_.hidden, seed_, kResidualStream);
    // The head first: a tied one starts from the embedding as it is.
    const std::string head = graph_.tied_head ? "lm_head.weight" : graph_.head.weight;
    if (graph_.tied_head) edits_.untie_head();
    edits_.set(head, rotated_columns(edits_.matrix(graph_.head), norm_factors(graph_.final_norm), r));
    edits_.set(graph_.embedding, rotated_columns(edits_.rows(graph_.embedding), {}, r));
    for (const Block& block : graph_.blocks) rotate_block(block, r);
    // Norms last: until here their weights are read.
    for (const Block& block : graph_.blocks) {
      reset(block.attention_norm);
      reset(block.mlp_norm);
    }
    reset(graph_.final_norm);
  }

  TensorEdits take() { return edits_.take(); }

 private:
  void rotate_block(const Block& block, const RotationPtr& r) {
    const std::vector<double> attention = norm_factors(block.attention_norm), mlp = norm_factors(block.mlp_norm);
    for (const Linear& linear : block.linears) {
      switch (block.inputs[static_cast<size_t>(linear.input)].producer) {
        case Producer::kAttentionNorm:
          rotate_input(linear, attention, r);
          break;
        case Producer::kMlpNorm:
        case Producer::kRouter:
          rotate_input(linear, mlp, r);
          break;
        case Producer::kLatent:
          break;
        case Producer::kAttention:
        case Producer::kMlp:
          rotate_output(linear, r);
          break;
      }
    }
  }

  void rotate_input(const Linear& linear, const std::vector<double>& factors, const RotationPtr& r) {
    edits_.set(linear.weight, rotated_columns(edits_.matrix(linear), factors, r));
  }

  void rotate_output(const Linear& linear, const RotationPtr& r) {
    edits_.set(linear.weight, rotated_rows(edits_.matrix(linear), r, cache_));
    rotate_bias(linear, *r, {0});
  }

  void rotate_bias(const Linear& linear, const RandomRotation& rotation, const std::vector<int64_t>& first_rows) {
    if (linear.bias.empty()) return;
    const std::vector<float> bias = edits_.rows(linear.bias)->decode_all();
    std::vector<double> rotated(bias.begin(), bias.end());
    for (const int64_t first : first_rows) rotation.apply(rotated.data() + first, 1);
    edits_.set(linear.bias, dense_vector(rotated));
  }

  /// What the norm multiplies by; empty when it has no weight.
  std::vector<double> norm_factors(const Norm& norm) const {
    if (norm.weight.empty()) return {};
    const std::vector<float> weight = edits_.rows(norm.weight)->decode_all();
    std::vector<double> factors(weight.begin(), weight.end());
    for (double& factor : factors) factor += one_less();
    return factors;
  }

  void reset(const Norm& norm) {
    if (norm.weight.empty()) return;
    edits_.set(norm.weight, dense_vector(std::vector<double>(static_cast<size_t>(graph_.hidden), 1.0 - one_less())));
  }

  /// What the stored weight is less than the factor.
  double one_less() const { return adds_one(graph_.norm) ? 1.0 : 0.0; }

  const Graph& graph_;
  PendingEdits edits_;
  uint64_t seed_;
  std::shared_ptr<MatrixCache> cache_;
};

}  // namespace

void check_rotation(const Graph& graph, const HadamardTransform& transform) {
  for (size_t b = 0; transform.heads && b < graph.blocks.size(); ++b) {
    const Attention& attention = graph.blocks[b].attention;
    if (attention.clip == 0.0f && has_own_values(attention)) continue;
    misuse(
        "hadamard: the head channels of this {} model cannot be rotated: the values of block {} are {} (the residual "
        "stream can be rotated: heads false)",
        graph.architecture, b, attention.clip > 0.0f ? "clipped" : "its keys");
  }
  if (!transform.residual) return;
  if (subtracts_mean(graph.norm)) refuse_graph(graph, "its norms are LayerNorm, which subtracts the mean");
  if (!graph.position_embedding.empty()) refuse_graph(graph, "it has learned positions");
  if (graph.embedding_norm.present()) refuse_graph(graph, "its embedding is normed");
  if (graph.project_in.present() || graph.project_out.present()) refuse_graph(graph, "its embedding is projected");
  for (size_t b = 0; b < graph.blocks.size(); ++b) {
    const Block& block = graph.blocks[b];
    for (const Norm* norm : {&block.post_attention_norm, &block.post_mlp_norm}) {
      if (norm->present()) refuse_graph(graph, fmt::format("block {} norms what it adds ('{}')", b, norm->weight));
    }
    for (const Norm* norm : {&block.attention_residual_norm, &block.mlp_residual_norm}) {
      if (norm->present()) refuse_graph(graph, fmt::format("block {} norms the stream itself ('{}')", b, norm->weight));
    }
  }
}

TensorEdits rotate(const Model& model, const HadamardTransform& transform, uint64_t seed) {
  check_rotation(model.graph(), transform);
  RotationFolder folder(model, seed);
  if (transform.heads) folder.rotate_heads();
  if (transform.residual) folder.rotate_residual();
  return folder.take();
}

}  // namespace bitloom
