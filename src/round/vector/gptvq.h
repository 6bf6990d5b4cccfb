#pragma once
// Rounding onto vectors of blocks' codebooks (GPTVQ, van Baalen et al. 2024, 2402.15319; papers' learned page, 8.1),
// two methods:
//
//   "gptvq"           error feedback from vector to vector of columns, codebooks by k-means on compensated weights and
//                     moved to the least output error afterwards (block_columns.h)
//   "vector-kmeans"   the same codebooks by plain squared error, without feedback; without data
//
// Beyond the paper: metrics of whole vectors instead of their diagonals, columns of a vector that make up for each
// other, conjugate gradients instead of gradient descent, with the moment damped as the loop's is, and what error
// feedback has too (guided, drift), and vectors of scaled runs that count by their scales' squares. Left out:
// codebooks of lower rank.
//
// Goals: the same bytes for any number of threads and of ranks given the same statistics; ranks share tiles of rows.

#include "round/rounding.h"

namespace bitloom {

struct VectorKMeansRounding {
  int64_t turns = 30;
  bool operator==(const VectorKMeansRounding&) const = default;
};
extern const RoundingRow kVectorKMeansMethod;
Needs needs_of(const VectorKMeansRounding& options);
bool rounds_onto(const VectorKMeansRounding& options, const Storage& storage);
Storage storage_by(const VectorKMeansRounding& options, Storage wanted);
RoundingCost cost_of(const VectorKMeansRounding& options, const RoundingShape& shape);
/// Error(kRefused) for weights that are not finite, or beyond fp16.
Rounded round_by(const VectorKMeansRounding& options, const RoundingProblem& problem);

struct GptvqRounding {
  double damping = 0.01;
  int64_t turns = 30;      // of k-means, at most; the paper takes 100 (docs/results.md)
  int64_t iterations = 8;  // of conjugate gradients for the codebooks, after the loop
  bool guided = false;     // H weighs tokens by their outputs' gradients (observe/moment/guided_moments.h)
  double drift = 0;        // share of the inputs' own error that the target makes up for (round/drift/drift.h)
  bool operator==(const GptvqRounding&) const = default;
};
extern const RoundingRow kGptvqMethod;
Needs needs_of(const GptvqRounding& options);
bool rounds_onto(const GptvqRounding& options, const Storage& storage);
Storage storage_by(const GptvqRounding& options, Storage wanted);
RoundingCost cost_of(const GptvqRounding& options, const RoundingShape& shape);
/// The same, and Error(kFailed) when no token was seen.
Rounded round_by(const GptvqRounding& options, const RoundingProblem& problem);

}  // namespace bitloom
