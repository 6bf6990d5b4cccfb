#pragma once
// Rounding onto additive codebooks (AQLM, Egiazarian et al. 2024, 2401.06118; papers' learned page, 1.3 and 1.10), two
// methods:
//
//   "additive"   by plain squared error; without data
//   "aqlm"       by the second moment of the inputs: L = tr((What - W) H (What - W)^T)
//
// both from residual k-means (residual_kmeans.h), then in turns a sweep of beam search over all codes (code_search.h)
// and the best scales and codebooks for them (continuous_fit.h). Codebooks and scales are rounded to fp16 before the
// last sweep. Beyond the paper: closed forms and conjugate gradients instead of Adam, a beam, damping, and what error
// feedback has too (guided, drift).
//
// Goals: the same bytes for any number of threads and of ranks given the same statistics (each rank rounds the whole
// matrix). Memory: W in fp32 five times, the moment twice.

#include "round/rounding.h"

namespace bitloom {

struct AdditiveRounding {
  int64_t beam = 4;
  int64_t cells = 16;  // of a large codebook, that a search looks at (code_cells.h); 0: all vectors
  int64_t sweeps = 4;
  int64_t seed = 0;
  bool operator==(const AdditiveRounding&) const = default;
};
extern const RoundingRow kAdditiveMethod;
Needs needs_of(const AdditiveRounding& options);
bool rounds_onto(const AdditiveRounding& options, const Storage& storage);
Storage storage_by(const AdditiveRounding& options, Storage wanted);
RoundingCost cost_of(const AdditiveRounding& options, const RoundingShape& shape);
/// Error(kRefused) for weights that are not finite, or beyond fp16.
Rounded round_by(const AdditiveRounding& options, const RoundingProblem& problem);

struct AqlmRounding {
  int64_t beam = 4;
  int64_t cells = 16;  // of a large codebook, that a search looks at (code_cells.h); 0: all vectors
  int64_t sweeps = 8;
  int64_t iterations = 3;  // of conjugate gradients between sweeps
  double damping = 0.01;
  bool guided = false;  // H weighs tokens by their outputs' gradients (observe/moment/guided_moments.h)
  double drift = 0;     // share of the inputs' own error that the target makes up for (round/drift/drift.h)
  int64_t seed = 0;
  bool operator==(const AqlmRounding&) const = default;
};
extern const RoundingRow kAqlmMethod;
Needs needs_of(const AqlmRounding& options);
bool rounds_onto(const AqlmRounding& options, const Storage& storage);
Storage storage_by(const AqlmRounding& options, Storage wanted);
RoundingCost cost_of(const AqlmRounding& options, const RoundingShape& shape);
/// The same, and Error(kFailed) when no token was seen.
Rounded round_by(const AqlmRounding& options, const RoundingProblem& problem);

}  // namespace bitloom
