#include "round/scale/rank.h"

#include <algorithm>
#include <cmath>

namespace bitloom {
namespace {

int64_t nearest_rank(double percent, int64_t n) {
  // 1e-9: 99.9 % of 1000 is 999, not 999.0000000000001.
  const double rank = std::ceil(percent * static_cast<double>(n) / 100 - 1e-9) - 1;
  return std::clamp<int64_t>(static_cast<int64_t>(rank), 0, n - 1);
}

}  // namespace

std::vector<RankQuery> percentile_queries(const GridTarget& target, int64_t n) {
  const double p = target.search.range.percentile;
  if (!target.storage.asymmetric) return {{nearest_rank(p, n), true}};
  // From the top as from the bottom, so that W and -W are cut alike.
  const int64_t high = nearest_rank((100 + p) / 2, n);
  return {{n - 1 - high, false}, {high, false}};
}

WeightRange clip_range(const WeightRange& full, const std::vector<float>& found, bool asymmetric) {
  WeightRange range;
  if (asymmetric) {
    range = {std::min(found[0], 0.0f), std::max(found[1], 0.0f)};
  } else {
    const float reach = std::abs(found[0]);
    range = {std::max(full.low, -reach), std::min(full.high, reach)};
  }
  return range.is_zero() ? full : range;
}

}  // namespace bitloom
