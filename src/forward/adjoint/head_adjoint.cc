#include "forward/adjoint/head_adjoint.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "base/rng.h"
#include "forward/adjoint/outer_layers.h"
#include "forward/row_loop.h"

namespace bitloom {
namespace {

// logits <- softmax(logits); returns log of the sum, the greatest included.
double softmax(std::span<float> logits) {
  const double most = *std::max_element(logits.begin(), logits.end());
  double sum = 0;
  for (const float z : logits) sum += std::exp(z - most);
  for (float& z : logits) z = static_cast<float>(std::exp(z - most) / sum);
  return most + std::log(sum);
}

double loss_of(std::span<float> logits, int32_t label) {
  if (label < 0) {
    std::fill(logits.begin(), logits.end(), 0.0f);
    return 0;
  }
  float& own = logits[static_cast<size_t>(label)];
  const double z = own, loss = softmax(logits) - z;
  own -= 1.0f;
  return loss;
}

// z -> c tanh(s z / c), in place; then its adjoint dz = dy s (1 - (y / c)^2), y what it gave. Without a cap s z.
struct LogitScale {
  float scale, cap;
  void apply(std::span<float> z) const {
    for (float& x : z) x *= scale;
    for (float& x : z) x = cap > 0.0f ? cap * std::tanh(x / cap) : x;
  }
  void adjoint(std::span<const float> y, std::span<float> d) const {
    for (size_t i = 0; i < d.size(); ++i) {
      const float t = cap > 0.0f ? y[i] / cap : 0.0f;
      d[i] *= scale * (1.0f - t * t);
    }
  }
};

}  // namespace

RowLoss cross_entropy(std::span<const int32_t> labels) {
  return [labels](int64_t row, std::span<float> logits) { return loss_of(logits, labels[static_cast<size_t>(row)]); };
}

int32_t sample_label(std::span<const float> logits, uint64_t seed, int64_t row) {
  std::vector<float> p(logits.begin(), logits.end());
  softmax(p);
  double left = Rng(seed, static_cast<uint64_t>(row)).uniform_double();
  int32_t last = 0;  // with a share: rounding may leave something beyond the sum
  for (size_t i = 0; i < p.size(); ++i) {
    if (p[i] <= 0.0f) continue;
    last = static_cast<int32_t>(i);
    left -= p[i];
    if (left < 0) break;
  }
  return last;
}

RowLoss sampled_cross_entropy(uint64_t seed, int64_t first_row, int64_t length) {
  return [=](int64_t row, std::span<float> logits) {
    const bool last = row % length == length - 1;
    return loss_of(logits, last ? -1 : sample_label(logits, seed, first_row + row));
  };
}

double head_adjoint(const Graph& graph, const OuterWeights& weights, float* hidden, int64_t rows, const RowLoss& loss,
                    const GradientSink& sink, ThreadPool& threads) {
  const int64_t width = graph.hidden, vocab = graph.vocab_size;
  const LogitScale scale = {graph.logit_scale, graph.logit_softcap};
  LinearScratch scratch;
  double total = 0;
  for (int64_t begin = 0; begin < rows; begin += kHeadRows) {
    const int64_t count = std::min(kHeadRows, rows - begin);
    float* h = hidden + begin * width;
    std::vector<float> normed(h, h + count * width), narrow;
    if (weights.final_norm.present()) norm_rows(weights.final_norm, h, count, normed.data(), threads);
    const auto apply = [&](const LinearWeights& layer, const std::vector<float>& x) {
      std::vector<float> y(static_cast<size_t>(count * layer.out()));
      const LinearReader reader = {&layer, y.data()};
      apply_layers({&reader, 1}, {x.data()}, count, scratch, threads);
      return y;
    };
    const bool narrows = weights.project_out.present();
    if (narrows) narrow = apply(weights.project_out, normed);
    const std::vector<float>& read = narrows ? narrow : normed;
    std::vector<float> logits = apply(weights.head, read);
    std::vector<double> losses(static_cast<size_t>(count));
    for_rows(threads, count, [&](int64_t row) {
      const std::span<float> z(logits.data() + row * vocab, static_cast<size_t>(vocab));
      scale.apply(z);
      const std::vector<float> given(z.begin(), z.end());
      losses[static_cast<size_t>(row)] = loss(begin + row, z);
      scale.adjoint(given, z);
    });
    for (const double one : losses) total += one;
    std::vector<float> d = layer_adjoint(graph.head, weights.head, read, logits, count, sink, threads);
    if (narrows) d = layer_adjoint(graph.project_out, weights.project_out, normed, d, count, sink, threads);
    if (!weights.final_norm.present()) {
      std::copy(d.begin(), d.end(), h);
      continue;
    }
    norm_adjoint(graph.final_norm, weights.final_norm, h, d.data(), count, width, sink, threads);
  }
  return total;
}

}  // namespace bitloom
