#pragma once
// How codes are chosen, as a value: which algorithm, with which options. Recipes hold it, the pipeline hands it to the
// algorithm; each algorithm's own header says what it does with the options.

#include <cstdint>
#include <variant>

#include "format/families/codebook/codebook_storage.h"
#include "format/storage.h"
#include "observe/needs.h"

namespace bitloom {

/// The order in which error feedback visits columns.
enum class ColumnOrder {
  kNatural,
  kActivation,  // by falling H_jj ("act-order"); with groups, their scales must be fixed beforehand
  kGroupAware,  // columns inside each group by falling H_jj, groups by their greatest H_jj: no cost when decoding
};

/// Every weight to its nearest level; round/nearest.h. Needs no data.
struct NearestRounding {
  bool operator==(const NearestRounding&) const = default;
};

/// Error feedback; round/feedback.h. Recipes call it "gptq".
struct FeedbackRounding {
  double damping = 0.01;
  ColumnOrder order = ColumnOrder::kGroupAware;
  bool static_groups = false;  // group scales from the original weights, not from compensated ones
  double correction = 0;       // GPTAQ's alpha: how much of the inputs' own error is compensated; 0: GPTQ
  bool operator==(const FeedbackRounding&) const = default;
};

/// Layer-wise learned rounding; round/adaround.h. Recipes call it "adaround". The paper's schedule is beta 20 to 2
/// after a warmup of 0.2, ramp 0; the defaults are what did best on layers of language models.
struct LearnedRounding {
  int64_t iterations = 400;
  double regularizer = 2;  // per weight, in units of the loss of its own rounding error (round/soft_tile.h)
  double ramp = 1;         // the regularizer grows as (t / end)^ramp after the warmup; 0: constant
  double beta_start = 2, beta_end = 2;
  double warmup = 0;  // share of the iterations without the regularizer
  double learning_rate = 0.05;
  bool descent = true;  // afterwards single codes are flipped while that lowers the loss
  bool operator==(const LearnedRounding&) const = default;
};

/// Codebooks by k-means; round/kmeans/kmeans.h. Recipes call it "kmeans".
struct KMeansRounding {
  int64_t iterations = 50;  // at most; it ends where nothing moves
  double outliers = 0;      // share of the weights that is reserved in fp16, beside the codebook
  bool operator==(const KMeansRounding&) const = default;
};

using Rounding = std::variant<NearestRounding, FeedbackRounding, LearnedRounding, KMeansRounding>;

/// What a rounding onto `wanted` writes: its own side terms are added.
inline Storage storage_by(const Rounding& rounding, Storage wanted) {
  if (const auto* kmeans = std::get_if<KMeansRounding>(&rounding)) wanted.side.outliers.most = kmeans->outliers;
  return wanted;
}

/// Time without data, in units of nearest rounding onto a grid; k-means sorts each table's weights and fits from two
/// starts. (Whole runs of SmolLM2-135M: 12.1 s of CPU time to codebook3-col, 0.95 s to int4-g128; both
/// hash and write alike.)
inline double relative_time(const Rounding& rounding) {
  return std::holds_alternative<KMeansRounding>(rounding) ? 25 : 1;
}

/// Bytes that rounding a [rows, cols] matrix holds beside the result and some tiles: k-means has all weights in fp32, a
/// code and a mark for each, and their order when some are reserved.
inline int64_t held_bytes(const Rounding& rounding, int64_t rows, int64_t cols) {
  const auto* kmeans = std::get_if<KMeansRounding>(&rounding);
  return kmeans == nullptr ? 0 : rows * cols * (kmeans->outliers > 0 ? 14 : 5);
}

/// Whether codes of this storage can be chosen so: k-means makes codebooks, everything else rounds to scaled grids.
inline bool rounds_onto(const Rounding& rounding, const Storage& storage) {
  return std::holds_alternative<KMeansRounding>(rounding) == (storage.base.get_if<CodebookStorage>() != nullptr);
}

/// What an algorithm must be told about the layer's inputs.
inline Needs needs_of(const Rounding& rounding) {
  if (const auto* feedback = std::get_if<FeedbackRounding>(&rounding)) {
    return {.second_moment = true, .cross_moment = feedback->correction != 0};
  }
  if (std::holds_alternative<LearnedRounding>(rounding)) return {.second_moment = true, .cross_moment = true};
  return {};
}

}  // namespace bitloom
