#pragma once
// Nearest rounding: scales from the range rule, then every weight to its nearest level. Needs no data,
// unless scales are to be searched by what errors do to the layer's outputs.
//
// Goals: the baseline every method must beat, for any target; scales are rounded to their stored form before codes are
// chosen, so what was measured is what decodes. Non-goals: anything that looks beyond one group of weights at a time
// (feedback, calibration data); that is another folder of round/.

#include <memory>

#include "base/threads.h"
#include "format/stored_matrix.h"
#include "round/report.h"
#include "round/rounding.h"

namespace bitloom {

/// Recipes call it "nearest".
struct NearestRounding {
  bool weighted = false;  // errors that a search of scales compares count by the mean square of their column's input
  bool operator==(const NearestRounding&) const = default;
};
extern const RoundingRow kNearestMethod;
Needs needs_of(const NearestRounding& options);
bool rounds_onto(const NearestRounding& options, const Storage& storage);
Storage storage_by(const NearestRounding& options, Storage wanted);
RoundingCost cost_of(const NearestRounding& options, const RoundingShape& shape);
Rounded round_by(const NearestRounding& options, const RoundingProblem& problem);

/// `importance` (optional, [cols], >= 0) weighs squared errors where a rule compares errors (-mse, -m2mse, -pow2mse).
/// Error(kRefused) naming `name` and the position when W holds NaN or Inf. Deterministic for any thread count; memory:
/// the codes, plus a fixed number of decoded rows per thread (rows of a block, for blocks).
std::shared_ptr<const StoredMatrix> quantize_nearest(const std::string& name, const RowSource& w,
                                                     const GridTarget& target, ThreadPool& threads,
                                                     RoundReport* report = nullptr, const float* importance = nullptr);

/// What methods that begin with nearest rounding spend on it: weights, once each, and 80 or 20 times where a search
/// tries so many scales.
double nearest_work(const RoundingShape& shape);

}  // namespace bitloom
