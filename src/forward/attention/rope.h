#pragma once
// Rotary position embedding (Su et al., RoFormer, 2021, eq. 34), in either arrangement of the pairs.

#include <cstdint>
#include <vector>

#include "forward/attention/heads.h"
#include "model/graph.h"

namespace bitloom {

/// cos and sin of a Rope's angles, computed in fp64 and rounded once.
class RopeTable {
 public:
  explicit RopeTable(const Rope& rope) : rope_(&rope) {}

  /// Makes the table reach at least `length` positions. It grows by doubling, so that steps do not recompute it.
  /// Error(kRefused) beyond Rope::max_length where there are no frequencies for longer sequences.
  void reach(int64_t length);
  int64_t length() const { return usual_.length; }

  /// Rotates one head's channels x at `position` of a sequence of `length`, n = inv_freq.size():
  ///   x[a] <- x[a] cos - x[b] sin
  ///   x[b] <- x[b] cos + x[a] sin,   i < n, angle = position * inv_freq[i],
  /// (a, b) = (i, i + n), or interleaved (2i, 2i + 1). Channels from 2 n on stay.
  /// The frequencies are those of that length. Steps that pass Rope::max_length leave the keys before as they were
  /// rotated, as transformers does.
  void rotate(int64_t position, int64_t length, float* x) const { turn(position, length, false, x); }
  /// Its adjoint: the same by -angle.
  void rotate_adjoint(int64_t position, int64_t length, float* dx) const { turn(position, length, true, dx); }

 private:
  struct Angles {
    int64_t length = 0;
    std::vector<float> cos, sin;  // [length, n]
  };
  void turn(int64_t position, int64_t length, bool back, float* x) const;
  void grow(Angles& angles, const std::vector<double>& inv_freq, int64_t length) const;
  bool is_long(int64_t length) const { return rope_->max_length > 0 && length > rope_->max_length; }

  const Rope* rope_;
  Angles usual_, long_;
};

}  // namespace bitloom
