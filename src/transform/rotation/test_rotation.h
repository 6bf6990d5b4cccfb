#pragma once
// For tests only.

#include <cstdint>
#include <vector>

#include "transform/rotation/random_rotation.h"

namespace bitloom::testing {

/// R [n, n], its rows made from unit vectors.
inline std::vector<double> dense(const RandomRotation& rotation) {
  const int64_t n = rotation.size();
  std::vector<double> r(static_cast<size_t>(n * n));
  for (int64_t i = 0; i < n; ++i) {
    r[static_cast<size_t>(i * n + i)] = 1;
    rotation.apply(r.data() + i * n, 1);
  }
  return r;
}

}  // namespace bitloom::testing
