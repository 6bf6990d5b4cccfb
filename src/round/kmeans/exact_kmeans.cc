#include "round/kmeans/exact_kmeans.h"

#include <algorithm>
#include <limits>
#include <numeric>
#include <utility>

namespace bitloom {
namespace {

constexpr int64_t kTail = 64;          // outermost values that are places of their own, on each side
constexpr int64_t kInnerPlaces = 384;  // between the tails, at least

std::vector<int64_t> every_place(const SortedPoints& points) {
  std::vector<int64_t> places(static_cast<size_t>(points.size() + 1));
  std::iota(places.begin(), places.end(), int64_t{0});
  return places;
}

}  // namespace

ClusterTable::ClusterTable(const SortedPoints& points, int64_t most)
    : ClusterTable(points, most, every_place(points)) {}

ClusterTable::ClusterTable(const SortedPoints& points, int64_t most, std::vector<int64_t> places)
    : places_(std::move(places)) {
  sums_.reserve(places_.size());
  for (const int64_t place : places_) sums_.push_back(points.sums(place));
  const auto last = static_cast<int64_t>(places_.size()) - 1;
  from_.resize(static_cast<size_t>(most));
  now_.resize(places_.size());
  for (size_t j = 0; j < places_.size(); ++j) now_[j] = SortedPoints::cost(sums_[0], sums_[j]);
  from_[0].assign(places_.size(), 0);
  errors_.push_back(now_.back());
  for (size_t k = 1; k < from_.size(); ++k) {
    before_ = now_;
    from_[k].resize(places_.size());
    fill(k, 0, last, 0, last);
    errors_.push_back(now_.back());
  }
  before_.clear(), now_.clear(), sums_.clear();
}

/// D_k at the places [low, high], whose last clusters begin within [from_low, from_high].
void ClusterTable::fill(size_t k, int64_t low, int64_t high, int64_t from_low, int64_t from_high) {
  if (low > high) return;
  const int64_t middle = low + (high - low) / 2;
  const SortedPoints::Sums end = sums_[static_cast<size_t>(middle)];
  double least = std::numeric_limits<double>::infinity();
  int64_t best = from_low;
  for (int64_t i = from_low; i <= std::min(middle, from_high); ++i) {
    const double error = before_[static_cast<size_t>(i)] + SortedPoints::cost(sums_[static_cast<size_t>(i)], end);
    if (error < least) least = error, best = i;
  }
  now_[static_cast<size_t>(middle)] = least;
  from_[k][static_cast<size_t>(middle)] = static_cast<uint32_t>(best);
  fill(k, low, middle - 1, from_low, best);
  fill(k, middle + 1, high, best, from_high);
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
  const int64_t n = points.size(), inner = std::max(kInnerPlaces, 4 * levels);
  if (n <= 2 * kTail + inner) return every_place(points);
  std::vector<int64_t> places;
  places.reserve(static_cast<size_t>(2 * kTail + inner + 1));
  for (int64_t i = 0; i <= kTail; ++i) places.push_back(i);
  const double first = points.sums(kTail).mass, all = points.sums(n - kTail).mass - first;
  int64_t at = kTail + 1;
  for (int64_t i = 1; i < inner; ++i) {
    const double wanted = first + all * static_cast<double>(i) / static_cast<double>(inner);
    while (at < n - kTail && points.sums(at).mass < wanted) ++at;
    if (at > places.back() && at < n - kTail) places.push_back(at);
  }
  for (int64_t i = n - kTail; i <= n; ++i) places.push_back(i);
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
