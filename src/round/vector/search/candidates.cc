#include "round/vector/search/candidates.h"

#include <algorithm>

#include "base/simd/vector_clones.h"

namespace bitloom {
namespace {

typedef float Lanes __attribute__((vector_size(64), aligned(4), may_alias));
static_assert(sizeof(Lanes) == Scores::kLanes * sizeof(float));

/// kGroup 0: `group`.
template <int64_t kGroup>
__attribute__((always_inline)) inline void find_block(const float* columns, const float* norms, int64_t padded,
                                                      int64_t group, int64_t begin, int64_t end, const float* direction,
                                                      float weight, float* scores, float* least) {
  Lanes low{};
  for (int64_t c = begin; c < end; c += Scores::kLanes) {
    Lanes score = weight * *reinterpret_cast<const Lanes*>(norms + c);
    for (int64_t t = 0; t < (kGroup == 0 ? group : kGroup); ++t) {
      score -= direction[t] * *reinterpret_cast<const Lanes*>(columns + t * padded + c);
    }
    *reinterpret_cast<Lanes*>(scores + c) = score;
    low = c == begin ? score : (score < low ? score : low);
  }
  *reinterpret_cast<Lanes*>(least) = low;
}

BITLOOM_VECTOR_CLONES
void find_scores(const float* columns, const float* norms, int64_t padded, int64_t group, const float* direction,
                 float weight, float* scores, float* least) {
  for (int64_t begin = 0; begin < padded; begin += Scores::kBlock, least += Scores::kLanes) {
    const int64_t end = begin + Scores::kBlock < padded ? begin + Scores::kBlock : padded;
    if (group == 8) {
      find_block<8>(columns, norms, padded, group, begin, end, direction, weight, scores, least);
    } else if (group == 4) {
      find_block<4>(columns, norms, padded, group, begin, end, direction, weight, scores, least);
    } else {
      find_block<0>(columns, norms, padded, group, begin, end, direction, weight, scores, least);
    }
  }
}

}  // namespace

int64_t padded_candidates(int64_t count) { return (count + Scores::kLanes - 1) / Scores::kLanes * Scores::kLanes; }

Candidates::Candidates(int64_t entries, int64_t group)
    : entries_(entries),
      group_(group),
      padded_(padded_candidates(entries)),
      columns_(static_cast<size_t>(padded_ * group)) {}

void Candidates::set(const float* codebook) {
  for (int64_t c = 0; c < entries_; ++c) {
    for (int64_t t = 0; t < group_; ++t) columns_[static_cast<size_t>(t * padded_ + c)] = codebook[c * group_ + t];
  }
}

Scores::Scores(int64_t padded, int64_t runs)
    : scores_(static_cast<size_t>(padded)),
      least_(static_cast<size_t>((padded / kBlock + runs) * kLanes)),
      block_(static_cast<size_t>(padded / kBlock + runs)) {}

int64_t Scores::add(const CandidateRun& run, int64_t group, const float* direction, float weight) {
  const int64_t begin = count_;
  find_scores(run.columns, run.norms, run.padded, group, direction, weight, scores_.data() + begin,
              least_.data() + blocks_ * kLanes);
  for (int64_t at = 0; at < run.padded; at += kBlock) {
    const int64_t end = std::min(at + kBlock, run.padded);
    block_[static_cast<size_t>(blocks_++)] = {begin + at, begin + end, run.first + at};
  }
  count_ += run.padded;
  return begin;
}

float Scores::bound_of(int64_t count) {
  const auto end = least_.begin() + blocks_ * kLanes;
  if (count > blocks_ * kLanes) return kNever;
  if (count == 1) return *std::min_element(least_.begin(), end);
  sorted_.assign(least_.begin(), end);
  std::nth_element(sorted_.begin(), sorted_.begin() + (count - 1), sorted_.end());
  return sorted_[static_cast<size_t>(count - 1)];
}

int64_t Scores::best() {
  int64_t found = 0;
  up_to(bound_of(1), [&](int64_t c, float) { return found = c, -kNever; });
  return found;
}

}  // namespace bitloom
