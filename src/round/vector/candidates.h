#pragma once
// All vectors of one codebook as candidates for one place, and the best of them:
//
//   score(c) = weight n(c) - sum_t d[t] C[c, t],   c < 2^B

#include <algorithm>
#include <cstdint>
#include <limits>
#include <vector>

#include "format/families/vector/vector_storage.h"

namespace bitloom {

/// A codebook [2^B, G] turned round, [G, padded]: candidates beyond 2^B are there to fill vectors.
class Candidates {
 public:
  Candidates(int64_t entries, int64_t group);
  Candidates(const VectorStorage& storage, const float* codebook) : Candidates(storage.entries(), storage.group) {
    set(codebook);
  }
  void set(const float* codebook);

  int64_t padded() const { return padded_; }
  const float* columns() const { return columns_.data(); }

 private:
  int64_t entries_, group_, padded_;
  std::vector<float> columns_;
};

/// Candidates that `count` needs room for.
int64_t padded_candidates(int64_t count);
/// n for those beyond `count`, so that none is ever chosen. Weights are above 0.
inline constexpr float kNever = std::numeric_limits<float>::infinity();

/// Scores of all candidates, and in each block of 256 the least of every sixteenth: enough to pass over most.
class Scores {
 public:
  explicit Scores(int64_t padded);
  /// norms [padded], direction [group].
  void find(const Candidates& candidates, const float* norms, int64_t group, const float* direction, float weight);
  float operator[](int64_t c) const { return scores_[static_cast<size_t>(c)]; }

  /// No less than the count-th least score.
  float bound_of(int64_t count);
  /// visit(c, score) for every candidate whose score is at most `bound`, in a fixed order; it gives the bound from then
  /// on.
  template <typename Visit>
  void up_to(float bound, const Visit& visit) const {
    for (size_t i = 0; i < least_.size(); ++i) {
      if (!(least_[i] <= bound)) continue;
      const auto block = static_cast<int64_t>(i) / kLanes * kBlock, end = std::min(padded_, block + kBlock);
      for (int64_t c = block + static_cast<int64_t>(i) % kLanes; c < end; c += kLanes) {
        const float score = scores_[static_cast<size_t>(c)];
        if (score <= bound) bound = visit(c, score);
      }
    }
  }
  /// The candidate with the least score.
  int64_t best();

  static constexpr int64_t kBlock = 256, kLanes = 16;

 private:
  int64_t padded_;
  std::vector<float> scores_, least_, sorted_;
};

}  // namespace bitloom
