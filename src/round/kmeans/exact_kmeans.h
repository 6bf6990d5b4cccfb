#pragma once
// k-means on a line to the optimum, which there can be found: its clusters are runs of the sorted values. With D_k(j)
// the least error of the first j points in k clusters,
//
//   D_k(j) = min over i <= j of D_{k-1}(i) + cost(i, j)
//
// whose best i grows with j, so that all j of one k take n log n costs (divide and conquer, here down to eight j in a
// row, which are tried together; Wu 1991; Groenlund et al. 2017; papers' column-wise page, 7.4). One run knows the
// error of every number of clusters up to the greatest.
//
// Goals: weighted values; the same result for the same values. fast_kmeans lets clusters begin at some hundred places
// only and then lets Lloyd's algorithm (1957) move the bounds: within 0.5 % of the optimum on heavy-tailed values
// (exact_kmeans_test.cc), since the values of the tails are places of their own.

#include <cstdint>
#include <vector>

#include "round/kmeans/sorted_points.h"

namespace bitloom {

/// Clusters as runs: cluster k is the points [cuts[k], cuts[k + 1]), perhaps none; cuts [levels + 1].
using Cuts = std::vector<int64_t>;

class ClusterTable {
 public:
  /// All numbers of clusters from 1 to `most`, which begin and end at `places` only (ascending, the first 0, the last
  /// points.size()). Memory: 4 bytes for each place and cluster. `points` need not outlive the table.
  ClusterTable(const SortedPoints& points, int64_t most, std::vector<int64_t> places);
  /// At any point.
  ClusterTable(const SortedPoints& points, int64_t most);

  /// [k - 1]: the least sum m (x - level)^2 with k levels. Never rises with k.
  const std::vector<double>& errors() const { return errors_; }
  /// The clusters of `levels` <= most levels.
  Cuts cuts(int64_t levels) const;

 private:
  int64_t fill_first(size_t k, int64_t block, int64_t from_low, int64_t from_high);
  void fill_firsts(size_t k, int64_t low, int64_t high, int64_t from_low, int64_t from_high);
  void fill_block(size_t k, int64_t block, int64_t blocks);
  void fill_last(size_t k, int64_t blocks);

  std::vector<int64_t> places_;
  std::vector<double> mass_, first_, second_;  // sums at the places
  std::vector<double> before_, now_;           // D of k - 1 and k clusters, by place; padded to eights, as the sums
  std::vector<std::vector<uint32_t>> from_;    // [k][place]: where cluster k of those up to the place begins; of
                                               // the last k at the last places alone
  std::vector<double> errors_;
};

/// Where clusters may begin for the fast path, by the number of levels: 32 to 64 outermost values on each side, and at
/// least 192 places at equal masses between them; every point where there are no more.
std::vector<int64_t> likely_places(const SortedPoints& points, int64_t levels);

/// Lloyd's turns from the cuts: bounds move between the means until nothing does, or `iterations` times.
Cuts lloyd(const SortedPoints& points, Cuts cuts, int64_t iterations);
/// The means of the clusters, ascending.
std::vector<double> cluster_means(const SortedPoints& points, const Cuts& cuts);
/// sum m (x - mean of its cluster)^2.
double cluster_error(const SortedPoints& points, const Cuts& cuts);

/// The fast path: likely places, then Lloyd.
Cuts fast_kmeans(const SortedPoints& points, int64_t levels, int64_t iterations);

}  // namespace bitloom
