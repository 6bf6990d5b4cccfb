#include "forward/adjoint/embedding_adjoint.h"

#include <utility>
#include <vector>

#include "forward/adjoint/outer_layers.h"
#include "forward/layers/embedding.h"

namespace bitloom {
namespace {

void show(const GradientSink& sink, const std::string& table, const std::vector<int64_t>& rows,
          const std::vector<float>& dy) {
  if (sink.looked_up) sink.looked_up(table, rows, dy);
}

}  // namespace

// e = s E[token],  a = P e (or e),  h = norm(a + L[position]):
//   da = norm'(dh),  dL[position] += da,  de = P^T da,  dE[token] += s de
void embedding_adjoint(const Graph& graph, const OuterWeights& weights, std::span<const int32_t> tokens,
                       const Pass& pass, std::vector<float> d, const GradientSink& sink, ThreadPool& threads) {
  const int64_t rows = pass.rows();
  Workspace work;
  if (weights.embedding_norm.present() || weights.project_in.present()) {
    work.reserve(graph, rows);
    embed_before_norm(graph, weights, tokens, pass, work, threads);
  }
  if (weights.embedding_norm.present()) {
    std::vector<float> x(work.hidden.begin(), work.hidden.begin() + rows * graph.hidden);
    norm_adjoint(graph.embedding_norm, weights.embedding_norm, x.data(), d.data(), rows, graph.hidden, sink, threads);
    d = std::move(x);
  }
  std::vector<int64_t> at(static_cast<size_t>(rows));
  if (weights.positions != nullptr) {
    for (int64_t row = 0; row < rows; ++row) {
      at[static_cast<size_t>(row)] = pass.position(row).position + graph.position_offset;
    }
    show(sink, graph.position_embedding, at, d);
  }
  if (weights.project_in.present()) {
    work.narrow.resize(static_cast<size_t>(rows * graph.project_in.in));
    d = layer_adjoint(graph.project_in, weights.project_in, work.narrow, d, rows, sink, threads);
  }
  for (float& value : d) value *= graph.embedding_scale;
  at.assign(tokens.begin(), tokens.end());
  show(sink, graph.embedding, at, d);
}

}  // namespace bitloom
