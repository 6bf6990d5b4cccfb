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
#include "eval/scoring.h"
#include "forward/adjoint/model_gradient.h"
#include "forward/decoder.h"
#include "forward/workspace.h"
#include "linalg/gemm.h"
#include "pipeline/ranks/rank_work.h"

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

void check_gradients(const Model& model, const std::vector<std::vector<std::string>>& groups,
                     const std::vector<double>& sensitivities, int64_t labels) {
  bool any = false;
  for (size_t g = 0; g < groups.size(); ++g) {
    any |= sensitivities[g] > 0;
    if (std::isfinite(sensitivities[g])) continue;
    fail(ErrorKind::kFailed, "{}: tensor '{}': its gradients are not finite", model.path(), groups[g].front());
  }
  if (any || groups.empty()) return;
  fail(ErrorKind::kFailed,
       "{}: the gradients of all matrices, such as '{}', are 0 on all {} tokens: nothing tells which "
       "of them need bits",
       model.path(), groups.front().front(), labels);
}

int64_t pass_bytes(const Graph& graph, int64_t rows) {
  Workspace work;
  work.reserve(graph, 1);
  return work.bytes() * rows;
}

}  // namespace

std::vector<double> gradient_sensitivities(const Model& model, const std::vector<std::vector<std::string>>& groups,
                                           const std::vector<std::vector<int32_t>>& sequences, uint64_t seed,
                                           Ranks& ranks, Context& context) {
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
  context.progress.advance(1);
  std::vector<int64_t> firsts = {0};  // of each text among all of their tokens
  for (const std::vector<int32_t>& tokens : texts) firsts.push_back(firsts.back() + std::ssize(tokens));
  const auto of_text = [&](int64_t text) {
    const std::vector<int32_t>& tokens = texts[static_cast<size_t>(text)];
    const int64_t length = std::ssize(tokens);
    std::vector<double> damages(groups.size());
    GradientSink sink;
    sink.linear = [&](const Linear& linear, std::span<const float> x, std::span<const float> dy) {
      const auto group = group_of.find(linear.weight);
      if (group == group_of.end()) return;
      damages[group->second] += damage(x, dy, squares.at(linear.weight), context.threads);
    };
    const RowLoss loss = sampled_cross_entropy(seed, firsts[static_cast<size_t>(text)], length);
    model_gradient(model, tokens, 1, length, loss, sink, {}, context.threads);
    context.progress.advance(1);
    return damages;
  };
  const int64_t labels = firsts.back() - std::ssize(texts);
  std::vector<double> sensitivities(groups.size());
  for (const std::vector<double>& damages : made_by_ranks(std::ssize(texts), ranks, of_text)) {
    for (size_t g = 0; g < groups.size(); ++g) sensitivities[g] += damages[g] / (2 * static_cast<double>(labels));
  }
  check_gradients(model, groups, sensitivities, labels);
  return sensitivities;
}

std::vector<double> probe_sensitivities(const Model& model, const std::vector<Disturbance>& disturbances,
                                        const std::vector<std::vector<int32_t>>& sequences, uint64_t seed, Ranks& ranks,
                                        Context& context) {
  const TextWindows windows = windows_of(beginnings(sequences, kProbeSequences, kProbeTokens));
  const std::map<std::string, RowSourcePtr> matrices = matrices_of(model);
  Decoder original(std::make_shared<const Model>(model), context.threads);
  ReplayedLogits reference(original);
  Progress silent;
  Context quiet{context.threads, silent};
  const ProgressTask task(context.progress, "sensitivities", std::ssize(disturbances));
  std::vector<uint64_t> streams = {kNoiseStream};  // of each disturbance's first tensor
  for (const Disturbance& disturbance : disturbances) streams.push_back(streams.back() + disturbance.tensors.size());
  const auto of_disturbance = [&](int64_t d) {
    const Disturbance& disturbance = disturbances[static_cast<size_t>(d)];
    uint64_t stream = streams[static_cast<size_t>(d)];
    TensorEdits edits;
    for (const std::string& name : disturbance.tensors) {
      edits.tensors[name] = disturbed(*matrices.at(name), disturbance.error, seed, stream++, context.threads);
    }
    Decoder decoder(std::make_shared<const Model>(model.edited(edits)), context.threads);
    const double kl = divergence(reference, *logits_of(decoder), windows, quiet).kl_mean;
    context.progress.advance(1, disturbance.tensors.front());
    return std::vector<double>{disturbance.error > 0 ? kl / disturbance.error : 0};
  };
  std::vector<double> sensitivities;
  for (const std::vector<double>& one : made_by_ranks(std::ssize(disturbances), ranks, of_disturbance)) {
    sensitivities.push_back(one.front());
  }
  return sensitivities;
}

int64_t gradient_sensitivities_memory(const Model& model, int threads) {
  const Graph& graph = model.graph();
  const auto blocks = static_cast<int64_t>(graph.blocks.size());
  int64_t widest = graph.hidden, rows = graph.vocab_size;
  for (const Site& site : linear_sites(graph)) widest = std::max(widest, site.linear->in), rows += site.linear->out;
  // The streams before all blocks; a pass, and what its block keeps with the gradients of that; logits, and a row's in
  // three forms; decoded tiles of W and of its gradient; a number for each row.
  const int64_t streams = blocks * kGradientTokens * graph.hidden;
  const int64_t logits = 2 * std::min(kHeadRows, kGradientTokens) * graph.vocab_size + 3 * threads * graph.vocab_size;
  return 4 * (streams + logits + 2 * threads * kTileRows * widest) + 5 * pass_bytes(graph, kGradientTokens) + 8 * rows;
}

int64_t probe_sensitivities_memory(const Model& model, const std::vector<Disturbance>& disturbances, int threads) {
  const Graph& graph = model.graph();
  const std::map<std::string, RowSourcePtr> matrices = matrices_of(model);
  int64_t most = 0;
  for (const Disturbance& disturbance : disturbances) {
    int64_t weights = 0;
    for (const std::string& name : disturbance.tensors)
      weights += matrices.at(name)->rows() * matrices.at(name)->cols();
    most = std::max(most, weights);
  }
  // The disturbed matrix; the original's states; two passes, logits of both, and decoded tiles.
  const int64_t states = kProbeSequences * kProbeTokens * graph.hidden, logits = 2 * kScoreRows * graph.vocab_size;
  return 4 * (most + states + logits + threads * kTileRows * graph.hidden) + 2 * pass_bytes(graph, kProbeTokens);
}

}  // namespace bitloom
