#include "tune/model_size.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "tune/learned/latent_grid.h"

namespace bitloom {
namespace {

// Of BlockAdjoint and Workspace, at most: values of a row as wide as the hidden state, and those for each number that
// a layer gives (it, what it becomes before it is read, the gradients of both, the forward pass's own).
constexpr int64_t kStreamsOfBlock = 12, kNormsOfBlock = 4;
constexpr double kValuesOfOutput = 6;
constexpr int64_t kBytesOfLearned = 52, kBytesOfWeight = 8, kBytesOfCode = 6;

/// Experts count by the share of rows that they see, all others whole.
double share_of_rows(const Graph& graph, const Site& site) {
  const Experts& experts = graph.blocks[static_cast<size_t>(site.block)].experts;
  if (site.reads->expert < 0) return 1;
  return static_cast<double>(experts.top_k) / static_cast<double>(std::max<size_t>(experts.mlps.size(), 1));
}

}  // namespace

double work_of(const Graph& graph, const Site& site) {
  return share_of_rows(graph, site) * static_cast<double>(site.linear->out * site.linear->in);
}

int64_t bytes_of(const LearnedSize& size) {
  return kBytesOfLearned * size.values + size.bytes + kBytesOfWeight * size.weights + kBytesOfCode * size.codes;
}

ModelSize size_of(const Graph& graph) {
  const size_t blocks = graph.blocks.size();
  ModelSize size;
  std::vector<int64_t> weights(blocks);
  std::vector<double> widths(blocks);
  for (const Site& site : linear_sites(graph)) {
    const int64_t out = site.linear->out, in = site.linear->in;
    const double share = share_of_rows(graph, site);
    const auto block = static_cast<size_t>(site.block);
    size.work += work_of(graph, site);
    size.widest_input = std::max(size.widest_input, in);
    weights[block] += out * in, widths[block] += share * static_cast<double>(out);
  }
  for (size_t b = 0; b < blocks; ++b) {
    const auto widest = static_cast<int64_t>(std::ceil(kValuesOfOutput * widths[b]));
    size.block = std::max(size.block, weights[b]);
    size.activations = std::max(size.activations, kStreamsOfBlock * graph.hidden + widest);
  }
  return size;
}

ModelSize size_of(const QuantizeTask& task, Learned what, int64_t correction) {
  const Graph& graph = task.model->graph();
  ModelSize size = size_of(graph);
  std::vector<LearnedSize> learned(graph.blocks.size(), LearnedSize{kNormsOfBlock * graph.hidden, 0});
  for (const Site& site : linear_sites(graph)) {
    const auto step = task.steps.find(site.linear->weight);
    if (step == task.steps.end()) continue;
    const int64_t out = site.linear->out, in = site.linear->in;
    const Storage storage = step->second.storage();
    const bool corrected = correction > 0 && has_latent_weights(storage);
    learned[static_cast<size_t>(site.block)] += corrected
                                                    ? correction_size(storage, out, in, std::min({correction, out, in}))
                                                    : learned_size(storage, out, in, what);
    size.panels = std::max(size.panels, std::min(kGradientWave * kGradientPanel, out) * in);
  }
  size.learned.values = graph.hidden;
  for (const LearnedSize& of_block : learned) {
    size.learned += of_block;
    if (bytes_of(of_block) > bytes_of(size.learned_of_block)) size.learned_of_block = of_block;
  }
  return size;
}

}  // namespace bitloom
