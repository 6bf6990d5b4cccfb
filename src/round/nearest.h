#pragma once
// Nearest rounding: scales from the range rule, then every weight to its nearest level. Needs no data.
//
// Goals: the baseline every method must beat, for any target; scales are rounded to their stored form before codes are
// chosen, so what was measured is what decodes. Non-goals: anything that looks beyond one group of weights at a time
// (feedback, calibration data); that is another file of this folder.

#include <memory>

#include "base/threads.h"
#include "format/stored_matrix.h"
#include "round/target.h"

namespace bitloom {

/// What quantizing one matrix did, for reports and manifests.
struct RoundingReport {
  double weight_error = 0;  // sum (w - q)^2 / sum w^2
  int64_t saturated = 0;    // weights beyond the outermost level by more than half a step
  int64_t zero_groups = 0;  // groups that hold only zeros
  double max_abs_error = 0;
};

/// `importance` (optional, [cols], >= 0) weighs squared errors where a rule compares errors (-mse, -m2mse, -pow2mse).
/// Error(kRefused) naming `name` and the position when W holds NaN or Inf. Deterministic for any thread count; memory:
/// the codes, plus a fixed number of decoded rows per thread (rows of a block, for blocks).
std::shared_ptr<const StoredMatrix> quantize_nearest(const std::string& name, const RowSource& w,
                                                     const GridTarget& target, ThreadPool& threads,
                                                     RoundingReport* report = nullptr,
                                                     const float* importance = nullptr);

}  // namespace bitloom
