#pragma once
// Sums whose terms are added up in a fixed order that vectors can keep: every kLanes-th to a lane of its own, then the
// lanes from the first to the last.

#include <cstdint>

namespace bitloom {

/// sum of term(i) for i in [0, n), in double; inlined, so that vector clones (vector_clones.h) may call it.
template <int64_t kLanes, class Term>
[[gnu::always_inline]] inline double lane_sum(int64_t n, const Term& term) {
  double lanes[kLanes] = {}, sum = 0;
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    for (int64_t l = 0; l < kLanes; ++l) lanes[l] += term(i + l);
  }
  for (; i < n; ++i) lanes[0] += term(i);
  for (const double lane : lanes) sum += lane;
  return sum;
}

}  // namespace bitloom
