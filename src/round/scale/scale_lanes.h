#pragma once
// Sixteen candidate scales of one group, judged in one pass over its weights: the inner loop of the scale search
// (scale_search.h). Candidates lie across vector lanes, so a pass needs no sums across lanes and its cost per weight is
// the same for groups of any size.

#include <array>
#include <cstdint>
#include <memory>

#include "format/families/grid/grid_storage.h"
#include "format/grid.h"

namespace bitloom {

inline constexpr int kScaleLanes = 16;

/// Scales (not 0; they may be negative) with zero points (0 without), and what judge() makes of them: sums over weights
/// w with importance h, q = level nearest to w / scale, less the zero point.
struct ScaleLanes {
  using Lanes = std::array<float, kScaleLanes>;
  alignas(64) Lanes scale{}, zero{};
  alignas(64) Lanes error{};          // sum h (w - scale q)^2
  alignas(64) Lanes wq{}, qq{}, q{};  // sum h w q, sum h q^2, sum h q
};

/// The levels of one storage.
class ScaleJudge {
 public:
  virtual ~ScaleJudge() = default;
  /// w [n], h [n] >= 0. fp32 sums in the order of the weights; w times 1 / scale stands for w / scale, so that a weight
  /// in the middle of two levels may count as either. The same bits on every machine. `alike`: that all h are 1, which
  /// may be faster and gives the same sums; then sum h q is made with zero points only.
  virtual void judge(const float* w, const float* h, int64_t n, bool alike, ScaleLanes& lanes) const = 0;
};

/// The fastest for the storage: integers and minifloats by arithmetic where ties go to even, other formats of at most
/// 16 levels by their thresholds, the rest by the format's encoder.
std::unique_ptr<const ScaleJudge> make_scale_judge(const GridStorage& storage, Ties ties);

/// The definition, by the distance to every level, in double.
void judge_by_definition(const GridStorage& storage, const float* w, const float* h, int64_t n, ScaleLanes& lanes);

}  // namespace bitloom
