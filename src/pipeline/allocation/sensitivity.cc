#include "pipeline/allocation/sensitivity.h"

#include <algorithm>
#include <cmath>
#include <memory>
#include <utility>

#include "base/dense_matrix.h"
#include "base/error.h"
#include "base/rng.h"
#include "eval/divergence.h"
#include "eval/logits/replayed_logits.h"
#include "forward/decoder.h"

namespace bitloom {
namespace {

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

TextWindows windows_of(const std::vector<std::vector<int32_t>>& sequences) {
  TextWindows text;
  for (const std::vector<int32_t>& sequence : sequences) {
    if (static_cast<int64_t>(text.windows.size()) == kProbeSequences) break;
    if (sequence.size() < 2) continue;
    const auto length = std::min<int64_t>(static_cast<int64_t>(sequence.size()), kProbeTokens);
    text.windows.push_back({{sequence.begin(), sequence.begin() + length}, 1});
    text.scored_tokens += text.windows.back().scored();
    text.text_tokens += length;
  }
  if (text.windows.empty())
    misuse("an allocation of bits needs a sequence of two tokens at least to try its storages on");
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

}  // namespace

std::vector<double> probe_sensitivities(const Model& model, const std::vector<Disturbance>& disturbances,
                                        const std::vector<std::vector<int32_t>>& sequences, uint64_t seed,
                                        Context& context) {
  const TextWindows windows = windows_of(sequences);
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
