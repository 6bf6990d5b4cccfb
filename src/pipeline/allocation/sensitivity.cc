#include "pipeline/allocation/sensitivity.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <memory>
#include <numeric>
#include <span>
#include <utility>

#include "base/dense_matrix.h"
#include "base/error.h"
#include "base/rng.h"
#include "eval/divergence.h"
#include "eval/logits/replayed_logits.h"
#include "forward/adjoint/model_gradient.h"
#include "forward/decoder.h"
#include "linalg/gemm.h"

namespace bitloom {
namespace {

constexpr int64_t kTileRows = 64;                // of a gradient, at a time and thread
constexpr uint64_t kNoiseStream = 0x616c6c6f63;  // of the random numbers, with the tensor's number added

/// W and normal noise: row r gets the variance error * mean_c W(r, c)^2.
RowSourcePtr disturbed(const RowSource& w, double error, uint64_t seed, uint64_t stream, ThreadPool& threads) {
  std::vector<float> values(static_cast<size_t>(w.rows() * w.cols()));
  threads.parallel_for(w.rows(), [&](int64_t r) {
    const std::span<float> row(values.data() + r * w.cols(), static_cast<size_t>(w.cols()));
    w.decode_rows(r, r + 1, row.data());
    double squares = 0;
    for (const float value : row) squares += double{value} * value;
    const double deviation = std::sqrt(error * squares / static_cast<double>(w.cols()));
    Rng rng(seed + static_cast<uint64_t>(r), stream);
    for (float& value : row) value = static_cast<float>(value + deviation * rng.normal());
  });
  return dense_matrix(w.rows(), w.cols(), std::move(values));
}

/// The first tokens of the first sequences that have two at least.
std::vector<std::vector<int32_t>> beginnings(const std::vector<std::vector<int32_t>>& sequences, int64_t count,
                                             int64_t tokens) {
  std::vector<std::vector<int32_t>> result;
  for (const std::vector<int32_t>& sequence : sequences) {
    if (std::ssize(result) == count) break;
    if (sequence.size() < 2) continue;
    result.emplace_back(sequence.begin(), sequence.begin() + std::min<int64_t>(std::ssize(sequence), tokens));
  }
  if (result.empty()) misuse("an allocation of bits needs a sequence of two tokens at least to try its storages on");
  return result;
}

TextWindows windows_of(std::vector<std::vector<int32_t>> sequences) {
  TextWindows text;
  for (std::vector<int32_t>& sequence : sequences) {
    text.windows.push_back({std::move(sequence), 1});
    text.scored_tokens += text.windows.back().scored();
    text.text_tokens += std::ssize(text.windows.back().tokens);
  }
  return text;
}

/// W [out, in] by tensor name: of what a graph calls a linear layer, and of its embedding.
std::map<std::string, RowSourcePtr> matrices_of(const Model& model) {
  std::map<std::string, RowSourcePtr> matrices;
  const Graph& graph = model.graph();
  for (const Site& site : linear_sites(graph)) matrices.emplace(site.linear->weight, model.matrix(*site.linear));
  if (!graph.tied_head) matrices.emplace(graph.head.weight, model.matrix(graph.head));
  matrices.emplace(graph.embedding, model.tensor(graph.embedding).rows);
  return matrices;
}

/// mean_c W(r, c)^2 of every row.
std::vector<double> row_mean_squares(const RowSource& w, ThreadPool& threads) {
  std::vector<double> squares(static_cast<size_t>(w.rows()));
  threads.parallel_for(w.rows(), [&](int64_t r) {
    std::vector<float> row(static_cast<size_t>(w.cols()));
    w.decode_rows(r, r + 1, row.data());
    double sum = 0;
    for (const float value : row) sum += double{value} * value;
    squares[static_cast<size_t>(r)] = sum / static_cast<double>(w.cols());
  });
  return squares;
}

/// sum_r s_r |sum_t g_tr x_t|^2 of x [tokens, in], g [tokens, out], s [out].
double damage(std::span<const float> x, std::span<const float> g, std::span<const double> s, ThreadPool& threads) {
  const auto out = std::ssize(s), tokens = std::ssize(g) / out;
  if (tokens == 0) return 0;
  const int64_t in = std::ssize(x) / tokens, tiles = (out + kTileRows - 1) / kTileRows;
  std::vector<double> of_row(static_cast<size_t>(out));
  threads.parallel_for(tiles, [&](int64_t tile) {
    const int64_t first = tile * kTileRows, rows = std::min(kTileRows, out - first);
    std::vector<float> gradient(static_cast<size_t>(rows * in));  // of these rows of W
    sgemm(Transpose::kYes, Transpose::kNo, rows, in, tokens, 1.0f, g.data() + first, out, x.data(), in, 0.0f,
          gradient.data(), in);
    for (int64_t r = 0; r < rows; ++r) {
      double squares = 0;
      for (int64_t c = 0; c < in; ++c) squares += double{gradient[r * in + c]} * gradient[r * in + c];
      of_row[first + r] = s[first + r] * squares;
    }
  });
  return std::accumulate(of_row.begin(), of_row.end(), 0.0);
}

}  // namespace

std::vector<double> gradient_sensitivities(const Model& model, const std::vector<std::vector<std::string>>& groups,
                                           const std::vector<std::vector<int32_t>>& sequences, uint64_t seed,
                                           Context& context) {
  const auto texts = beginnings(sequences, kGradientSequences, kGradientTokens);
  const std::map<std::string, RowSourcePtr> matrices = matrices_of(model);
  std::map<std::string, size_t> group_of;
  std::map<std::string, std::vector<double>> squares;
  const ProgressTask task(context.progress, "gradients", std::ssize(texts) + 1);
  for (size_t g = 0; g < groups.size(); ++g) {
    for (const std::string& name : groups[g]) {
      group_of[name] = g;
      squares[name] = row_mean_squares(*matrices.at(name), context.threads);
    }
  }
  std::vector<double> sensitivities(groups.size());
  context.progress.advance(1);
  GradientSink sink;
  sink.linear = [&](const Linear& linear, std::span<const float> x, std::span<const float> dy) {
    const auto group = group_of.find(linear.weight);
    if (group == group_of.end()) return;
    sensitivities[group->second] += damage(x, dy, squares.at(linear.weight), context.threads);
  };
  int64_t labels = 0, rows = 0;
  for (const std::vector<int32_t>& tokens : texts) {
    const int64_t length = std::ssize(tokens);
    model_gradient(model, tokens, 1, length, sampled_cross_entropy(seed, rows, length), sink, {}, context.threads);
    rows += length, labels += length - 1;
    context.progress.advance(1);
  }
  for (size_t g = 0; g < groups.size(); ++g) {
    sensitivities[g] /= 2 * static_cast<double>(labels);
    if (!std::isfinite(sensitivities[g])) {
      fail(ErrorKind::kFailed, "{}: tensor '{}': its gradients are not finite", model.path(), groups[g].front());
    }
  }
  return sensitivities;
}

std::vector<double> probe_sensitivities(const Model& model, const std::vector<Disturbance>& disturbances,
                                        const std::vector<std::vector<int32_t>>& sequences, uint64_t seed,
                                        Context& context) {
  const TextWindows windows = windows_of(beginnings(sequences, kProbeSequences, kProbeTokens));
  const std::map<std::string, RowSourcePtr> matrices = matrices_of(model);
  Decoder original(std::make_shared<const Model>(model), context.threads);
  ReplayedLogits reference(original);
  Progress silent;
  Context quiet{context.threads, silent};
  const ProgressTask task(context.progress, "sensitivities", static_cast<int64_t>(disturbances.size()));
  std::vector<double> sensitivities;
  uint64_t stream = kNoiseStream;
  for (const Disturbance& disturbance : disturbances) {
    TensorEdits edits;
    for (const std::string& name : disturbance.tensors) {
      edits.tensors[name] = disturbed(*matrices.at(name), disturbance.error, seed, stream++, context.threads);
    }
    Decoder decoder(std::make_shared<const Model>(model.edited(edits)), context.threads);
    const double kl = divergence(reference, *logits_of(decoder), windows, quiet).kl_mean;
    sensitivities.push_back(disturbance.error > 0 ? kl / disturbance.error : 0);
    context.progress.advance(1, disturbance.tensors.front());
  }
  return sensitivities;
}

}  // namespace bitloom
