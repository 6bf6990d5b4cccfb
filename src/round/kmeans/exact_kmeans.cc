#include "round/kmeans/exact_kmeans.h"

#include <algorithm>
#include <limits>
#include <numeric>
#include <utility>

#include "base/simd/vector_clones.h"

namespace bitloom {
namespace {

/// Outermost values that are places of their own, on each side.
int64_t tail_places(int64_t levels) { return std::clamp<int64_t>(8 * levels, 32, 64); }
/// Places between the tails.
int64_t inner_places(int64_t levels) { return std::max<int64_t>(levels <= 8 ? 192 : 384, 4 * levels); }

std::vector<int64_t> every_place(const SortedPoints& points) {
  std::vector<int64_t> places(static_cast<size_t>(points.size() + 1));
  std::iota(places.begin(), places.end(), int64_t{0});
  return places;
}

constexpr int64_t kLanes = 8;  // of doubles

/// What a layer of the table is made from: sums at the places, and D of one cluster less. Eight more may be read.
struct Layer {
  const double *mass, *first, *second, *before;
};

/// The least of before[i] + cost(i, end) for i in [low, high], and the first i that has it.
struct Start {
  double error = 0;
  int64_t from = 0;
};

/// Every eighth start in a lane of its own.
BITLOOM_VECTOR_CLONES Start best_start(const Layer& layer, int64_t end, int64_t low, int64_t high) {
  const double mass = layer.mass[end], first = layer.first[end], second = layer.second[end];
  double least[kLanes];
  int64_t best[kLanes];
  for (int64_t l = 0; l < kLanes; ++l) least[l] = std::numeric_limits<double>::infinity(), best[l] = low;
  for (int64_t at = low; at <= high; at += kLanes) {
    for (int64_t l = 0; l < kLanes; ++l) {
      const int64_t i = at + l;
      const double m = mass - layer.mass[i], s = first - layer.first[i], spread = second - layer.second[i];
      const double cost = spread - s * s / (m > 0 ? m : 1);  // without mass s is 0
      const double sum = layer.before[i] + (cost > 0 ? cost : 0);
      const bool better = i <= high && sum < least[l];
      least[l] = better ? sum : least[l];
      best[l] = better ? i : best[l];
    }
  }
  Start start{least[0], best[0]};
  for (int64_t l = 1; l < kLanes; ++l) {
    if (least[l] < start.error || (least[l] == start.error && best[l] < start.from)) start = {least[l], best[l]};
  }
  return start;
}

/// The same for eight ends in a row, each a lane; starts behind an end are none of its.
BITLOOM_VECTOR_CLONES void best_starts(const Layer& layer, int64_t end, int64_t low, int64_t high, double* error,
                                       int64_t* from) {
  double least[kLanes], mass[kLanes], first[kLanes], second[kLanes];
  int64_t best[kLanes];
  for (int64_t l = 0; l < kLanes; ++l) {
    least[l] = std::numeric_limits<double>::infinity(), best[l] = low;
    mass[l] = layer.mass[end + l], first[l] = layer.first[end + l], second[l] = layer.second[end + l];
  }
  for (int64_t i = low; i <= high; ++i) {
    for (int64_t l = 0; l < kLanes; ++l) {
      const double m = mass[l] - layer.mass[i], s = first[l] - layer.first[i], spread = second[l] - layer.second[i];
      const double cost = spread - s * s / (m > 0 ? m : 1);
      const double sum = layer.before[i] + (cost > 0 ? cost : 0);
      const bool better = i <= end + l && sum < least[l];
      least[l] = better ? sum : least[l];
      best[l] = better ? i : best[l];
    }
  }
  for (int64_t l = 0; l < kLanes; ++l) error[l] = least[l], from[l] = best[l];
}

}  // namespace

ClusterTable::ClusterTable(const SortedPoints& points, int64_t most)
    : ClusterTable(points, most, every_place(points)) {}

ClusterTable::ClusterTable(const SortedPoints& points, int64_t most, std::vector<int64_t> places)
    : places_(std::move(places)) {
  const auto count = static_cast<int64_t>(places_.size()), blocks = (count + kLanes - 1) / kLanes;
  const auto padded = static_cast<size_t>((blocks + 1) * kLanes);
  for (auto* sums : {&mass_, &first_, &second_, &now_}) sums->reserve(padded);
  for (size_t i = 0; i < padded; ++i) {
    const SortedPoints::Sums& sums = points.sums(i < places_.size() ? places_[i] : places_.back());
    mass_.push_back(sums.mass), first_.push_back(sums.first), second_.push_back(sums.second);
    now_.push_back(SortedPoints::cost(points.sums(places_[0]), sums));
  }
  before_.resize(padded);
  from_.resize(static_cast<size_t>(most));
  from_[0].assign(padded, 0);
  const size_t last = places_.size() - 1;
  errors_.push_back(now_[last]);
  for (size_t k = 1; k < from_.size(); ++k) {
    std::swap(before_, now_);
    from_[k].resize(padded);
    if (k + 1 == from_.size()) {
      fill_last(k, blocks);
    } else {
      fill_firsts(k, 0, blocks - 1, 0, count - 1);
      for (int64_t block = 0; block < blocks; ++block) fill_block(k, block, blocks);
    }
    errors_.push_back(now_[last]);
  }
  before_.clear(), now_.clear();
  mass_.clear(), first_.clear(), second_.clear();
}

/// Where the last of k clusters begins, at the first place of the eight; it lies within [from_low, from_high], and not
/// before where the last of k - 1 clusters up to the same place begins.
int64_t ClusterTable::fill_first(size_t k, int64_t block, int64_t from_low, int64_t from_high) {
  const int64_t end = block * kLanes;
  const Layer layer{mass_.data(), first_.data(), second_.data(), before_.data()};
  const int64_t last = std::min(end, from_high);
  const int64_t first = std::min(last, std::max<int64_t>(from_low, from_[k - 1][static_cast<size_t>(end)]));
  const int64_t best = best_start(layer, end, first, last).from;
  from_[k][static_cast<size_t>(end)] = static_cast<uint32_t>(best);
  return best;
}

/// The same for the eights from `low` to `high`.
void ClusterTable::fill_firsts(size_t k, int64_t low, int64_t high, int64_t from_low, int64_t from_high) {
  if (low > high) return;
  const int64_t middle = low + (high - low) / 2, best = fill_first(k, middle, from_low, from_high);
  fill_firsts(k, low, middle - 1, from_low, best);
  fill_firsts(k, middle + 1, high, best, from_high);
}

/// D_k at the places of an eight; their starts lie between those of its first and the next one's.
void ClusterTable::fill_block(size_t k, int64_t block, int64_t blocks) {
  const Layer layer{mass_.data(), first_.data(), second_.data(), before_.data()};
  const auto last = static_cast<int64_t>(places_.size()) - 1;
  std::vector<uint32_t>& starts = from_[k];
  const int64_t end = block * kLanes, next = end + kLanes;
  const int64_t high = block + 1 < blocks ? std::min<int64_t>(starts[static_cast<size_t>(next)], next - 1) : last;
  int64_t from[kLanes];
  best_starts(layer, end, starts[static_cast<size_t>(end)], high, now_.data() + end, from);
  for (int64_t l = 0; l < kLanes; ++l) starts[static_cast<size_t>(end + l)] = static_cast<uint32_t>(from[l]);
}

/// Of the greatest number of clusters only what ends at the last place is asked for: the last eight, by the way on
/// which fill_firsts() comes to it.
void ClusterTable::fill_last(size_t k, int64_t blocks) {
  int64_t from_low = 0;
  for (int64_t low = 0; low < blocks;) {
    const int64_t middle = low + (blocks - 1 - low) / 2;
    from_low = fill_first(k, middle, from_low, static_cast<int64_t>(places_.size()) - 1);
    low = middle + 1;
  }
  fill_block(k, blocks - 1, blocks);
}

Cuts ClusterTable::cuts(int64_t levels) const {
  Cuts cuts(static_cast<size_t>(levels + 1));
  size_t place = places_.size() - 1;
  cuts.back() = places_[place];
  for (auto k = static_cast<size_t>(levels); k-- > 0;) {
    place = from_[k][place];
    cuts[k] = places_[place];
  }
  return cuts;
}

std::vector<int64_t> likely_places(const SortedPoints& points, int64_t levels) {
  const int64_t n = points.size(), inner = inner_places(levels), tail = tail_places(levels);
  if (n <= 2 * tail + inner) return every_place(points);
  std::vector<int64_t> places;
  places.reserve(static_cast<size_t>(2 * tail + inner + 1));
  for (int64_t i = 0; i <= tail; ++i) places.push_back(i);
  const double first = points.sums(tail).mass, all = points.sums(n - tail).mass - first;
  int64_t at = tail + 1;
  for (int64_t i = 1; i < inner; ++i) {
    const double wanted = first + all * static_cast<double>(i) / static_cast<double>(inner);
    while (at < n - tail && points.sums(at).mass < wanted) ++at;
    if (at > places.back() && at < n - tail) places.push_back(at);
  }
  for (int64_t i = n - tail; i <= n; ++i) places.push_back(i);
  return places;
}

std::vector<double> cluster_means(const SortedPoints& points, const Cuts& cuts) {
  std::vector<double> means;
  means.reserve(cuts.size() - 1);
  for (size_t k = 0; k + 1 < cuts.size(); ++k) means.push_back(points.mean(cuts[k], cuts[k + 1]));
  return means;
}

double cluster_error(const SortedPoints& points, const Cuts& cuts) {
  double error = 0;
  for (size_t k = 0; k + 1 < cuts.size(); ++k) error += points.cost(cuts[k], cuts[k + 1]);
  return error;
}

Cuts lloyd(const SortedPoints& points, Cuts cuts, int64_t iterations) {
  for (int64_t turn = 0; turn < iterations; ++turn) {
    const std::vector<double> means = cluster_means(points, cuts);
    Cuts moved = cuts;
    for (size_t k = 1; k < means.size(); ++k) moved[k] = points.first_above((means[k - 1] + means[k]) / 2);
    if (moved == cuts) break;
    cuts = std::move(moved);
  }
  return cuts;
}

Cuts fast_kmeans(const SortedPoints& points, int64_t levels, int64_t iterations) {
  return lloyd(points, ClusterTable(points, levels, likely_places(points, levels)).cuts(levels), iterations);
}

}  // namespace bitloom
