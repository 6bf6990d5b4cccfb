#pragma once
// Rotary position embedding (Su et al., RoFormer, 2021, eq. 34), in the "rotate half" arrangement.

#include <cstdint>
#include <vector>

#include "forward/heads.h"
#include "model/graph.h"

namespace bitloom {

/// cos and sin of a Rope's angles for positions 0 .. length() - 1, computed in fp64 and rounded once.
class RopeTable {
 public:
  explicit RopeTable(const Rope& rope) : rope_(&rope) {}

  /// Makes the table reach at least `length` positions. It grows by doubling, so that steps do not recompute it.
  void reach(int64_t length);
  int64_t length() const { return length_; }

  /// Rotates one head's channels x at `position`, n = inv_freq.size():
  ///   x[i]     <- x[i] cos - x[i + n] sin
  ///   x[i + n] <- x[i + n] cos + x[i] sin,   i < n, angle = position * inv_freq[i]
  /// Channels from 2 n on stay.
  void rotate(int64_t position, float* x) const;

 private:
  const Rope* rope_;
  int64_t length_ = 0;
  std::vector<float> cos_, sin_;  // [length, n]
};

}  // namespace bitloom
