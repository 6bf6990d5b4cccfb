#include "forward/layers/embedding.h"

#include "base/error.h"
#include "forward/row_loop.h"

namespace bitloom {
namespace {

// h [hidden] += what is learned for the row's position; `learned` [hidden] is overwritten.
void add_position(const Graph& graph, const OuterWeights& weights, const Pass& pass, int64_t row, float* learned,
                  float* h) {
  const int64_t index = pass.position(row).position + graph.position_offset;
  weights.positions->decode_rows(index, index + 1, learned);
  for (int64_t i = 0; i < graph.hidden; ++i) h[i] += learned[i];
}

}  // namespace

void check_tokens(const Model& model, const OuterWeights& weights, std::span<const int32_t> tokens, int64_t length) {
  const Graph& graph = model.graph();
  for (size_t i = 0; i < tokens.size(); ++i) {
    if (tokens[i] < 0 || tokens[i] >= graph.vocab_size) {
      refuse("{}: token id {} (number {} of the input) is outside the vocabulary, 0 to {}", model.path(), tokens[i], i,
             graph.vocab_size - 1);
    }
  }
  if (weights.positions == nullptr) return;
  const int64_t learned = weights.positions->rows() - graph.position_offset;
  if (length > learned) {
    refuse("{}: a sequence of {} tokens is too long, the model has learned positions for {} ('{}')", model.path(),
           length, learned, graph.position_embedding);
  }
}

void embed_before_norm(const Graph& graph, const OuterWeights& weights, std::span<const int32_t> tokens,
                       const Pass& pass, Workspace& work, ThreadPool& threads) {
  const int64_t width = weights.embedding->cols(), hidden = graph.hidden;
  float* embedded = weights.project_in.present() ? work.narrow.data() : work.hidden.data();
  for_rows(threads, pass.rows(), [&](int64_t row) {
    const int64_t token = tokens[static_cast<size_t>(row)];
    float* out = embedded + row * width;
    weights.embedding->decode_rows(token, token + 1, out);
    for (int64_t i = 0; i < width; ++i) out[i] *= graph.embedding_scale;
  });
  if (weights.project_in.present()) {
    const LinearReader widen = {&weights.project_in, work.hidden.data()};
    apply_layers({&widen, 1}, {embedded}, pass.rows(), work.linears, threads);
  }
  if (weights.positions == nullptr) return;
  for_rows(threads, pass.rows(), [&](int64_t row) {
    add_position(graph, weights, pass, row, work.normed.data() + row * hidden, work.hidden.data() + row * hidden);
  });
}

void embed_tokens(const Graph& graph, const OuterWeights& weights, std::span<const int32_t> tokens, const Pass& pass,
                  Workspace& work, ThreadPool& threads) {
  embed_before_norm(graph, weights, tokens, pass, work, threads);
  if (!weights.embedding_norm.present()) return;
  for_rows(threads, pass.rows(), [&](int64_t row) {
    float* h = work.hidden.data() + row * graph.hidden;
    norm_row(weights.embedding_norm, h, h);
  });
}

}  // namespace bitloom
