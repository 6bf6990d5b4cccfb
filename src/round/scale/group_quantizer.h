#pragma once
// The weights that share one scale: their range, their scale as stored, their codes. What every rounding method that
// works on scaled grids needs.

#include <cstdint>
#include <memory>
#include <vector>

#include "round/scale/scale_lanes.h"
#include "round/target.h"

namespace bitloom {

/// A [rows, cols] piece of a matrix, `stride` floats from row to row. `importance` is null or [cols], >= 0.
struct WeightGroup {
  const float* data = nullptr;
  int64_t rows = 1, cols = 0, stride = 0;
  const float* importance = nullptr;
};

/// Least and greatest weight that the levels must cover.
struct WeightRange {
  float low = 0, high = 0;
  bool is_zero() const { return low == 0 && high == 0; }
};

/// The range of the group's weights and zero: low <= 0 <= high.
WeightRange full_range(const WeightGroup& group);

/// A group's scale: as stored, as it multiplies (stored * tensor scale), the zero point, and the range it was made for.
/// Negative where a search preferred the mirrored levels (allows_negative_scales).
struct GroupScale {
  float stored = 0, scale = 0;
  uint8_t zero = 0;
  WeightRange range;
};

/// Sums over encoded weights.
struct EncodeStats {
  double error = 0;       // sum (w - q)^2
  double norm = 0;        // sum w^2
  double max_error = 0;   // max |w - q|
  int64_t saturated = 0;  // beyond the outermost level by more than half a step
  void add(const EncodeStats& other);
};

class GroupQuantizer {
 public:
  /// `tensor_scale` matters for two-level scales only.
  explicit GroupQuantizer(const GridTarget& target, float tensor_scale = 1.0f);

  const GridTarget& target() const { return target_; }
  /// The tensor scale of two-level scales for a whole matrix of this range.
  float tensor_scale_for(const WeightRange& whole) const;

  /// Range by the target's rule; for a search, the full range. An all-zero group has the range {0, 0}.
  WeightRange find_range(const WeightGroup& group) const;
  /// The scale that covers the range, rounded to its type. A zero range: a zero scale (E8M0: byte 0; two-level: the
  /// smallest block scale).
  GroupScale scale_for(const WeightRange& range) const;
  /// The scales that a search tries for this full range, widest first, rounded to the type, some perhaps twice: GPTQ's
  /// range * (1 - i/100), i = 0..79; for E8M0 the exponent without clipping (or the mode's) and three below.
  /// kLeastSquares: 32 more down to 0.014, for outliers that count little; each with both signs where
  /// has_both_signs(), positive first; and for levels of unequal steps, before all these, up to 1.64 times wider ones,
  /// which may put a level below the outermost on the greatest weight.
  int candidate_count() const;
  GroupScale candidate(const WeightRange& range, int index) const;
  /// All of them, repetitions left out.
  std::vector<GroupScale> candidates(const WeightRange& range) const;
  /// find_range and scale_for; for kClip the candidate with the smallest error, the widest among equals; for
  /// kLeastSquares see scale_search.h. No constraint.
  GroupScale choose(const WeightGroup& group) const;

  // What a search of scales needs to know.
  const ScaleJudge& judge() const { return *judge_; }
  bool has_both_signs() const { return both_signs_; }
  float tensor_scale() const { return tensor_scale_; }
  float max_code() const { return max_code_; }
  /// The interval from the least to the greatest weight that the scale's levels stand for.
  WeightRange reach(const GroupScale& scale) const;

  /// A scale > 0 rounded to the target's type (see round_scale).
  float round_to_stored(float scale) const {
    return round_scale(target_.storage.scale, scale, max_abs_, target_.search.block_scale_floor);
  }
  /// The zero point, if any, that goes with an imposed stored scale.
  GroupScale with_scale(const WeightRange& range, float stored) const;

  /// sum importance |w - q|^exponent, in units of `unit`^exponent (pass the largest magnitude in the group).
  double error(const WeightGroup& group, const GroupScale& scale, double exponent, float unit) const;

  /// Codes of the group, `code_stride` from row to row. `stats` may be null.
  void encode(const WeightGroup& group, const GroupScale& scale, uint8_t* codes, int64_t code_stride,
              EncodeStats* stats) const;

  /// y [n], already divided by its scale, each with the zero point of its own scale: codes [n] and the levels they
  /// stand for (in units of the scale). Returns how many lie beyond the outermost level by more than half a step.
  int64_t encode_scaled(const float* y, int64_t n, const GroupScale* scales, uint8_t* codes, float* levels) const;
  /// The weights [n] that codes [n] stand for, each with its own scale: exactly as StoredMatrix decodes them.
  void decode_scaled(const uint8_t* codes, int64_t n, const GroupScale* scales, float* weights) const;

 private:
  float wanted_scale(const WeightRange& range, float divisor) const;
  float stored_scale(const WeightRange& range, MxMode mode) const;
  GroupScale clip(const WeightGroup& group, const WeightRange& range) const;
  /// How far the outermost weight of the range lies beyond the outermost level.
  float clipped(const WeightRange& range, const GroupScale& scale) const;
  void encode_run(const float* y, int64_t n, uint8_t zero, uint8_t* codes) const;
  void snap_run(const float* y, int64_t n, uint8_t zero, float* levels) const;

  GridTarget target_;
  float tensor_scale_;
  FormatLimits limits_;
  float max_abs_;  // largest magnitude of a level
  float max_code_;
  float bottom_level_, top_level_;
  float low_limit_, high_limit_;  // y beyond these is saturated
  std::vector<float> decode_;
  std::unique_ptr<const ArrayEncoder> encoder_;
  std::unique_ptr<const ScaleJudge> judge_;  // kLeastSquares only
  bool both_signs_ = false;
  int wider_candidates_ = 0, narrower_candidates_ = 0;  // than GPTQ's
};

}  // namespace bitloom
