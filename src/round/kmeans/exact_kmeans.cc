#include "round/kmeans/exact_kmeans.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "base/vector_clones.h"

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

/// errors[i] = before[i] + the error of the run from i to `end`, as SortedPoints::cost.
BITLOOM_VECTOR_CLONES void run_errors(const SortedPoints::Sums& end, const double* mass, const double* first,
                                      const double* second, const double* before, int64_t count, double* errors) {
  const double end_mass = end.mass, end_first = end.first, end_second = end.second;
  for (int64_t i = 0; i < count; ++i) {
    const double m = end_mass - mass[i], s = end_first - first[i], spread = end_second - second[i];
    const double error = spread - s * s / (m > 0 ? m : 1);  // without mass s is 0
    errors[i] = before[i] + (error > 0 ? error : 0);
  }
}

}  // namespace

ClusterTable::ClusterTable(const SortedPoints& points, int64_t most)
    : ClusterTable(points, most, every_place(points)) {}

ClusterTable::ClusterTable(const SortedPoints& points, int64_t most, std::vector<int64_t> places)
    : places_(std::move(places)) {
  for (const int64_t place : places_) {
    const SortedPoints::Sums& sums = points.sums(place);
    mass_.push_back(sums.mass), first_.push_back(sums.first), second_.push_back(sums.second);
  }
  tried_.resize(places_.size());
  const auto last = static_cast<int64_t>(places_.size()) - 1;
  from_.resize(static_cast<size_t>(most));
  now_.resize(places_.size());
  for (size_t j = 0; j < places_.size(); ++j)
    now_[j] = SortedPoints::cost(points.sums(places_[0]), points.sums(places_[j]));
  from_[0].assign(places_.size(), 0);
  errors_.push_back(now_.back());
  for (size_t k = 1; k < from_.size(); ++k) {
    before_ = now_;
    from_[k].resize(places_.size());
    fill(k, 0, last, 0, last);
    errors_.push_back(now_.back());
  }
  before_.clear(), now_.clear(), tried_.clear();
  mass_.clear(), first_.clear(), second_.clear();
}

/// D_k at the places [low, high], whose last clusters begin within [from_low, from_high].
void ClusterTable::fill(size_t k, int64_t low, int64_t high, int64_t from_low, int64_t from_high) {
  if (low > high) return;
  const int64_t middle = low + (high - low) / 2;
  const auto at = static_cast<size_t>(middle), from = static_cast<size_t>(from_low);
  const int64_t count = std::min(middle, from_high) - from_low + 1;
  run_errors({mass_[at], first_[at], second_[at]}, mass_.data() + from, first_.data() + from, second_.data() + from,
             before_.data() + from, count, tried_.data());
  const auto smallest = std::min_element(tried_.begin(), tried_.begin() + count);
  const double least = *smallest;
  const int64_t best = from_low + (smallest - tried_.begin());
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
