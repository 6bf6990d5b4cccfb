#pragma once
// What a storage takes from a matrix when nothing is known of its inputs.

#include <cstdint>

#include "base/memory/row_source.h"
#include "base/threads.h"
#include "round/target.h"

namespace bitloom {

struct PlainError {
  double error = 0;  // sum (w - q)^2 / sum w^2
  double bits = 0;   // true bits a weight
};

/// By the first method without data that can choose the target's codes (rounding_without_data), once its format is
/// fitted to `w` where that is to be done (fitted/fit_format.h).
PlainError plain_error(const RowSource& w, const RoundingTarget& target, ThreadPool& threads);

/// The same of [rows, cols] weights drawn from the standard normal distribution: the mean squared error on a unit
/// Gaussian (papers' beyond page, 1.6), which n weights tell to about sqrt(2 / n) of it. What lies in a frame
/// (format/side/frame.h) is rounded without it: normal weights are what it makes of any.
PlainError plain_error_of_normal(const RoundingTarget& target, int64_t rows, int64_t cols, ThreadPool& threads);

}  // namespace bitloom
