#include "round/vector/search/code_cells.h"

#include <algorithm>

#include "round/vector/metric_kmeans.h"

namespace bitloom {
namespace {

constexpr int64_t kLeastEntries = 4096;       // of a codebook with more than one cell
constexpr int64_t kSamples = 32, kTurns = 6;  // of each cell, where cells begin

/// z M z^T.
float norm_of(const float* z, const float* metric, int64_t group) {
  float norm = 0;
  for (int64_t s = 0; s < group; ++s) {
    float row = 0;
    for (int64_t t = 0; t < group; ++t) row += metric[s * group + t] * z[t];
    norm += row * z[s];
  }
  return norm;
}

}  // namespace

int64_t cells_of(int64_t entries) {
  if (entries < kLeastEntries) return 1;
  int64_t cells = 1;
  while (4 * cells * cells <= entries) cells *= 2;
  return cells;
}

std::vector<float> first_cells(const float* codebook, int64_t entries, int64_t group, int64_t cells,
                               const float* metric) {
  const int64_t samples = std::min(entries, kSamples * cells);
  std::vector<float> points;
  for (int64_t i = 0; i < samples; ++i) {
    const float* c = codebook + i * entries / samples * group;
    points.insert(points.end(), c, c + group);
  }
  return metric_kmeans({samples, 1, group, points.data(), metric}, cells, kTurns);
}

CodeCells::CodeCells(const float* codebook, const float* products, const float* norms, int64_t entries, int64_t group,
                     const float* metric, std::span<const float> first)
    : group_(group),
      means_(static_cast<int64_t>(first.size()) / group, group),
      mean_values_(first.begin(), first.end()),
      mean_norms_(static_cast<size_t>(means_.padded()), kNever),
      cells_(static_cast<size_t>(entries)),
      begins_(first.size() / static_cast<size_t>(group) + 1) {
  means_.set(mean_values_.data());
  for (size_t k = 0; k + 1 < begins_.size(); ++k) {
    mean_norms_[k] = norm_of(mean_values_.data() + k * static_cast<size_t>(group), metric, group);
  }
  assign(products, entries);
  move(codebook, metric);
  lay_out(codebook, norms);
}

CandidateRun CodeCells::cell(int64_t k) const {
  const int64_t begin = begins_[static_cast<size_t>(k)];
  return {columns_.data() + begin * group_, norms_.data() + begin, begins_[static_cast<size_t>(k + 1)] - begin, begin};
}

void CodeCells::assign(const float* products, int64_t entries) {
  Scores scores(means_.padded());
  std::vector<float> direction(static_cast<size_t>(group_));
  for (int64_t c = 0; c < entries; ++c) {
    for (int64_t t = 0; t < group_; ++t) direction[static_cast<size_t>(t)] = 2 * products[c * group_ + t];
    scores.find(means_, mean_norms_.data(), group_, direction.data(), 1);
    cells_[static_cast<size_t>(c)] = static_cast<uint16_t>(scores.best());
  }
}

/// Means of the cells. One without vectors stays where it is, and is never chosen again.
void CodeCells::move(const float* codebook, const float* metric) {
  const auto g = static_cast<size_t>(group_);
  std::vector<double> sums(mean_values_.size());
  std::vector<int64_t> counts(sums.size() / g);
  for (size_t c = 0; c < cells_.size(); ++c) {
    ++counts[cells_[c]];
    for (size_t t = 0; t < g; ++t) sums[cells_[c] * g + t] += static_cast<double>(codebook[c * g + t]);
  }
  for (size_t k = 0; k < counts.size(); ++k) {
    mean_norms_[k] = kNever;
    if (counts[k] == 0) continue;
    float* mean = mean_values_.data() + k * g;
    for (size_t t = 0; t < g; ++t) mean[t] = static_cast<float>(sums[k * g + t] / static_cast<double>(counts[k]));
    mean_norms_[k] = norm_of(mean, metric, group_);
  }
  means_.set(mean_values_.data());
}

void CodeCells::lay_out(const float* codebook, const float* norms) {
  const auto cells = begins_.size() - 1;
  std::vector<int64_t> counts(cells);
  for (const uint16_t k : cells_) ++counts[k];
  for (size_t k = 0; k < cells; ++k) begins_[k + 1] = begins_[k] + padded_candidates(counts[k]);
  columns_.resize(static_cast<size_t>(places() * group_));
  norms_.assign(static_cast<size_t>(places()), kNever);
  codes_.resize(static_cast<size_t>(places()));
  places_.resize(cells_.size());
  std::vector<int64_t> next(begins_.begin(), begins_.end() - 1);
  for (size_t c = 0; c < cells_.size(); ++c) {
    const size_t k = cells_[c];
    const int64_t begin = begins_[k], padded = begins_[k + 1] - begin, at = next[k]++;
    for (int64_t t = 0; t < group_; ++t) {
      columns_[static_cast<size_t>(begin * group_ + t * padded + at - begin)] =
          codebook[static_cast<int64_t>(c) * group_ + t];
    }
    norms_[static_cast<size_t>(at)] = norms[c];
    codes_[static_cast<size_t>(at)] = static_cast<uint16_t>(c);
    places_[c] = static_cast<uint32_t>(at);
  }
}

int64_t cell_bytes(int64_t entries, int64_t group) {
  const int64_t cells = cells_of(entries), places = entries + cells * (Scores::kLanes - 1);
  return cells == 1 ? 0 : places * (4 * group + 4 + 2) + entries * (2 + 4) + 12 * cells * (group + 1);
}

CellSearch::CellSearch(int64_t entries, int64_t probes) : probes_(probes), of_means_(cells_of(entries)) {}

int64_t CellSearch::find(const CodeCells& cells, int64_t group, const float* direction, float weight, int64_t own,
                         Scores& scores) {
  of_means_.clear();
  of_means_.add(cells.means(), group, direction, weight);
  float bound = kNever;
  if (probes_ < cells.count()) {
    sorted_.resize(static_cast<size_t>(cells.count()));
    for (int64_t k = 0; k < cells.count(); ++k) sorted_[static_cast<size_t>(k)] = of_means_[k];
    std::nth_element(sorted_.begin(), sorted_.begin() + (probes_ - 1), sorted_.end());
    bound = sorted_[static_cast<size_t>(probes_ - 1)];
  }
  const int64_t own_cell = own < 0 ? -1 : cells.cell_of(own);
  int64_t own_place = -1;
  scores.clear();
  for (int64_t k = 0; k < cells.count(); ++k) {
    if (!(of_means_[k] <= bound) && k != own_cell) continue;
    const CandidateRun run = cells.cell(k);
    const int64_t begin = scores.add(run, group, direction, weight);
    if (k == own_cell) own_place = begin + cells.place_of(own) - run.first;
  }
  return own_place;
}

}  // namespace bitloom
