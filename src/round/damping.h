#pragma once
// What is added to the diagonal of a second moment so that it has a factor, as a share of the diagonal's mean.

#include <fmt/format.h>

#include "round/report.h"

namespace bitloom {

/// The damping is raised by this much while a factorization fails.
inline constexpr double kDampingStep = 0.01;

/// Sets the report's damping, with a remark where it had to be raised.
inline void record_damping(double asked, double used, RoundReport& report) {
  report.damping = used;
  if (used <= asked) return;
  report.remarks.push_back(fmt::format(
      "damping {:.2f} instead of {:.2f}, with which its inputs' second moment is not positive definite", used, asked));
}

}  // namespace bitloom
