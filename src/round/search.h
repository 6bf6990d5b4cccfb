#pragma once
// How the scales of a grid are found: what a rounding needs to know beyond the storage, and no reader of the result.

#include "format/grid.h"
#include "format/scale.h"

namespace bitloom {

/// Restrictions on real scales (ZeroQuant-FP; floating-point page, 5.4). M1: powers of two, rounded up (so nothing
/// clips); the other kPow2 round the exponent down, to nearest, or to the neighbour with the smaller squared error. M2:
/// per row of scales, S_max / 2^k with k = R(log2(S_max / S)), R as named. Mind that M2's ceil makes scales smaller.
enum class ScaleConstraint {
  kNone,
  kM1,
  kPow2Round,
  kPow2Floor,
  kPow2Mse,
  kM2Ceil,
  kM2Round,
  kM2Floor,
  kM2Mse,
};

/// How the range [-r, r] (or [lo, hi]) that the levels must cover is found.
struct RangeRule {
  // kLeastSquares: the scale itself is searched, by the squared error (round/scale/scale_search.h). kClip: GPTQ's clip
  // search, 80 steps of 1 % by |error|^clip_exponent.
  enum class Kind { kAbsmax, kPercentile, kLeastSquares, kClip } kind = Kind::kAbsmax;
  double percentile = 99.9;    // of |w|, in percent, by nearest rank; asymmetric: half of the rest is cut on each side
  double clip_exponent = 2.4;  // GPTQ's
  /// Whether scales are tried and their errors compared.
  bool searches() const { return kind == Kind::kLeastSquares || kind == Kind::kClip; }
  bool operator==(const RangeRule&) const = default;
};

struct ScaleSearch {
  MxMode mx_mode = MxMode::kFloor;
  BlockScaleFloor block_scale_floor = BlockScaleFloor::kSubnormal;
  ScaleConstraint constraint = ScaleConstraint::kNone;
  RangeRule range;
  Ties ties = Ties::kEven;
  /// Whether errors decide anywhere, and so importances count.
  bool compares_errors() const {
    return range.searches() || constraint == ScaleConstraint::kPow2Mse || constraint == ScaleConstraint::kM2Mse;
  }
  bool operator==(const ScaleSearch&) const = default;
};

}  // namespace bitloom
