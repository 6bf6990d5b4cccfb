#pragma once
// k-means on vectors whose errors count by a metric of their place (GPTVQ, van Baalen et al. 2024, 2402.15319, section
// 3.2: EM with the Hessian's weights; papers' learned page, 8.1):
//
//   minimise  sum over vectors of v (x - c)^T M_j (x - c),   x at place j,  c the entry that it is nearest to
//   assignment   c = argmin of that;   entries   c_k = (sum v M_j)^-1 sum v M_j x, over the vectors of entry k
//
// Goals: vectors of a row of a matrix that share metrics by column. Non-goals: the global optimum.

#include <cstdint>
#include <vector>

#include "round/vector/search/candidates.h"

namespace bitloom {

/// The nearest of a codebook's entries, place by place.
class MetricSearch {
 public:
  MetricSearch(int64_t entries, int64_t group);
  /// codebook [entries, G].
  void set_codebook(const float* codebook);
  /// metric [G, G], symmetric. Before find, after set_codebook.
  void set_metric(const float* metric);
  /// The entry with the least (x - c)^T M (x - c); among equals any, but always the same. x [G].
  int64_t find(const float* x);

 private:
  int64_t entries_, group_;
  const float* codebook_ = nullptr;
  const float* metric_ = nullptr;
  Candidates candidates_;
  std::vector<float> norms_, direction_;
  Scores scores_;
};

/// Vectors x [rows, places, G], those of one place by metrics [places, G, G].
struct MetricPoints {
  int64_t rows = 0, places = 0, group = 1;
  const float* x = nullptr;
  const float* metrics = nullptr;
  const float* weights = nullptr;  // v [rows, places]; null: all 1
};

/// A codebook [entries, G] after so many turns at most, fewer where a thousandth of the vectors or less change their
/// entry. It begins with vectors of equally spaced ranks by their Mahalanobis distance from their mean, in one
/// dimension by their size; an entry that nothing is nearest to stays.
std::vector<float> metric_kmeans(const MetricPoints& points, int64_t entries, int64_t turns);

}  // namespace bitloom
