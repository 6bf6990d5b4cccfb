#pragma once
// Rounding with error feedback (GPTQ; Frantar et al., 2023) onto any scaled grid: each column's rounding error is fed
// into the columns not yet rounded, so that the layer's outputs, not its weights, stay close.
//
// Goals: any format, granularity and scale type that nearest rounding has; the same codes for any number of threads.
// Scales of groups are fitted on compensated weights when their group begins (fresh groups), unless they must be known
// beforehand: tensor, row and block scales, M2 constraints, activation order. Non-goals: column codebooks and planes
// (other policies of the same loop).

#include <memory>
#include <string>

#include "round/feedback_factor.h"
#include "round/nearest.h"

namespace bitloom {

struct FeedbackReport {
  RoundingReport rounding;
  double output_error = 0;   // mean over tokens of |(W - Q) x|^2, damping included: tr((W - Q) H_d (W - Q)^T)
  double largest_ratio = 0;  // max |compensated weight| / max |weight|; above 10 the damping is too small
};

/// W [rows, channels]. `static_groups`: group scales from the original weights. The clip search of -mse weighs errors
/// by the diagonal of H. Error(kRefused) naming `name` for NaN and Inf, kFailed when W does not fit the factor. Memory:
/// per thread three tiles of at most 256 rows of W in fp32.
std::shared_ptr<const QuantizedTensor> quantize_with_feedback(const std::string& name, const RowSource& w,
                                                              const QuantSpec& spec, const FeedbackFactor& factor,
                                                              bool static_groups, ThreadPool& threads,
                                                              FeedbackReport* report = nullptr);

}  // namespace bitloom
