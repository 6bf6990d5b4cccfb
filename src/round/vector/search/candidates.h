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

/// Candidates that lie together: columns [G, padded] and n [padded], a multiple of 16; the first one's number.
struct CandidateRun {
  const float* columns;
  const float* norms;
  int64_t padded, first;
};

/// Candidates that `count` needs room for.
int64_t padded_candidates(int64_t count);
/// n for those beyond `count`, so that none is ever chosen. Weights are above 0.
inline constexpr float kNever = std::numeric_limits<float>::infinity();

/// Scores of candidates run by run, and in each block of 256 the least of every sixteenth: enough to pass over most.
class Scores {
 public:
  /// Room for so many candidates in as many runs.
  explicit Scores(int64_t padded, int64_t runs = 1);
  /// Of one run: norms [padded], direction [group].
  void find(const Candidates& candidates, const float* norms, int64_t group, const float* direction, float weight) {
    clear();
    add({candidates.columns(), norms, candidates.padded(), 0}, group, direction, weight);
  }
  void clear() { count_ = 0, blocks_ = 0; }
  /// Where the run's scores begin: operator[] counts over all runs.
  int64_t add(const CandidateRun& run, int64_t group, const float* direction, float weight);
  float operator[](int64_t i) const { return scores_[static_cast<size_t>(i)]; }

  /// No less than the count-th least score.
  float bound_of(int64_t count);
  /// visit(c, score) for every candidate, by its number, whose score is at most `bound`, in a fixed order; it gives the
  /// bound from then on.
  template <typename Visit>
  void up_to(float bound, const Visit& visit) const {
    for (int64_t i = 0; i < blocks_ * kLanes; ++i) {
      if (!(least_[static_cast<size_t>(i)] <= bound)) continue;
      const Block& block = block_[static_cast<size_t>(i / kLanes)];
      for (int64_t at = block.begin + i % kLanes; at < block.end; at += kLanes) {
        const float score = scores_[static_cast<size_t>(at)];
        if (score <= bound) bound = visit(block.first + (at - block.begin), score);
      }
    }
  }
  /// The candidate with the least score.
  int64_t best();

  static constexpr int64_t kBlock = 256, kLanes = 16;

 private:
  struct Block {
    int64_t begin = 0, end = 0;  // scores
    int64_t first = 0;           // candidate
  };
  int64_t count_ = 0, blocks_ = 0;  // in use
  std::vector<float> scores_, least_, sorted_;
  std::vector<Block> block_;
};

}  // namespace bitloom
