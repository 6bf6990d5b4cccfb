#pragma once
// Restrictions on real scales (ZeroQuant-FP; papers' floating-point page, 5.4).

#include <vector>

#include "round/scale/group_quantizer.h"

namespace bitloom {

/// Whether scales are bound to the greatest of their row.
constexpr bool is_m2(ScaleConstraint constraint) {
  return constraint == ScaleConstraint::kM2Ceil || constraint == ScaleConstraint::kM2Round ||
         constraint == ScaleConstraint::kM2Floor || constraint == ScaleConstraint::kM2Mse;
}

/// What a group's scale may become under the target's constraint: one scale, or the two neighbours of which the one
/// with the smaller squared error is meant (the wider first, to be kept when equal).
///   powers of two: 2^R(log2 S)                          M1 is R = ceil
///   M2:            S_max / 2^k, k = R(log2(S_max / S))  `row_max`: the greatest stored scale in the row
/// Exponents are clamped to what the scale's type stores exactly; S_max itself is kept exactly. Zero scales stay zero.
std::vector<GroupScale> constraint_options(const GroupQuantizer& quantizer, const GroupScale& scale, float row_max);

/// Constrains the scales of one row of groups in place, one per group.
void constrain_row(const GroupQuantizer& quantizer, const std::vector<WeightGroup>& groups,
                   std::vector<GroupScale>& scales);

}  // namespace bitloom
