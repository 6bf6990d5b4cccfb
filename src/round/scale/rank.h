#pragma once
// Order statistics for percentile ranges, by nearest rank: the smallest value such that at least P percent of all are
// not above it.

#include <cstdint>
#include <vector>

#include "round/scale/group_quantizer.h"
#include "round/target.h"

namespace bitloom {

/// The rank-th smallest (from 0) of n weights, or of their magnitudes.
struct RankQuery {
  int64_t rank = 0;
  bool magnitude = false;
};

/// What a percentile range asks of n weights. Symmetric: the P-th percentile of |w|. Asymmetric: the percentiles
/// (100 - P) / 2 and (100 + P) / 2 of w.
std::vector<RankQuery> percentile_queries(const GridTarget& target, int64_t n);

/// The full range cut to the weights found by percentile_queries; the full range if nothing but zero would be left,
/// since a group that is not all zero needs a scale.
WeightRange clip_range(const WeightRange& full, const std::vector<float>& found, bool asymmetric);

}  // namespace bitloom
