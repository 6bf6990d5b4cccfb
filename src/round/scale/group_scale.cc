// How a GroupQuantizer finds a group's range and scale.
#include <algorithm>
#include <cmath>
#include <limits>

#include "round/scale/abs_power.h"
#include "round/scale/group_quantizer.h"
#include "round/scale/rank.h"
#include "round/scale/scale_search.h"

namespace bitloom {
namespace {

constexpr int kClipSteps = 80;  // of 1 %: GPTQ's grid 100 and maxshrink 0.8
constexpr int kExponentSteps = 4;
constexpr double kWiderStep = 0.04, kNarrowerStep = 0.006;

}  // namespace

WeightRange full_range(const WeightGroup& group) {
  WeightRange range;
  for (int64_t r = 0; r < group.rows; ++r) {
    const float* w = group.data + r * group.stride;
    float low = 0, high = 0;
    for (int64_t c = 0; c < group.cols; ++c) {
      low = w[c] < low ? w[c] : low;
      high = w[c] > high ? w[c] : high;
    }
    range.low = std::min(range.low, low);
    range.high = std::max(range.high, high);
  }
  return range;
}

WeightRange GroupQuantizer::find_range(const WeightGroup& group) const {
  const WeightRange full = full_range(group);
  if (target_.search.range.kind != RangeRule::Kind::kPercentile || full.is_zero()) return full;
  std::vector<float> values;
  values.reserve(static_cast<size_t>(group.rows * group.cols));
  for (int64_t r = 0; r < group.rows; ++r) {
    const float* w = group.data + r * group.stride;
    values.insert(values.end(), w, w + group.cols);
  }
  const std::vector<RankQuery> queries = percentile_queries(target_, static_cast<int64_t>(values.size()));
  std::vector<float> found;
  for (const RankQuery& query : queries) {
    const auto at = values.begin() + query.rank;
    std::nth_element(values.begin(), at, values.end(),
                     [&](float a, float b) { return query.magnitude ? std::abs(a) < std::abs(b) : a < b; });
    found.push_back(*at);
  }
  return clip_range(full, found, target_.storage.asymmetric);
}

float GroupQuantizer::wanted_scale(const WeightRange& range, float divisor) const {
  if (target_.storage.asymmetric) return (range.high - range.low) / (max_code_ * divisor);
  const float up = limits_.positive > 0 ? range.high / (limits_.positive * divisor) : 0;
  const float down = limits_.negative > 0 ? -range.low / (limits_.negative * divisor) : 0;
  const float wanted = std::max(up, down);
  // Weights only on a side where the table has no level.
  return wanted > 0 ? wanted : std::max(range.high, -range.low) / (limits_.max * divisor);
}

float GroupQuantizer::tensor_scale_for(const WeightRange& whole) const {
  if (target_.storage.scale != ScaleType::kE4M3TwoLevel) return 1;
  // A search may want the widest group's scale wider: 256 * 1.75 = 448.
  const float widest = wider_candidates_ > 0 ? 256.0f : kMaxBlockScale;
  return round_tensor_scale(whole.is_zero() ? 0 : wanted_scale(whole, widest), max_abs_);
}

float GroupQuantizer::stored_scale(const WeightRange& range, MxMode mode) const {
  if (target_.storage.scale == ScaleType::kE8M0) {
    const bool lopsided = limits_.positive != limits_.negative;
    const float amax = lopsided ? wanted_scale(range, 1) * limits_.max : std::max(range.high, -range.low);
    const float capped = std::clamp(amax, std::numeric_limits<float>::denorm_min(), std::numeric_limits<float>::max());
    return round_to_stored(std::ldexp(1.0f, mx_exponent(capped, mode, limits_)));
  }
  return round_to_stored(wanted_scale(range, 1) / tensor_scale_);
}

GroupScale GroupQuantizer::scale_for(const WeightRange& range) const {
  if (!range.is_zero()) return with_scale(range, stored_scale(range, target_.search.mx_mode));
  if (target_.storage.scale == ScaleType::kE8M0) return with_scale(range, 0x1p-127f);
  if (target_.storage.scale == ScaleType::kE4M3TwoLevel) return with_scale(range, round_to_stored(0));
  return {};
}

GroupScale GroupQuantizer::with_scale(const WeightRange& range, float stored) const {
  GroupScale scale{stored, stored * tensor_scale_, 0, range};
  if (target_.storage.asymmetric && scale.scale > 0) {
    // zero = round(-low / scale), half to even as GPTQ's torch.round.
    scale.zero = static_cast<uint8_t>(std::clamp(std::nearbyint(-range.low / scale.scale), 0.0f, max_code_));
  }
  return scale;
}

int GroupQuantizer::candidate_count() const {
  if (target_.storage.scale == ScaleType::kE8M0) return kExponentSteps;
  return (wider_candidates_ + kClipSteps + narrower_candidates_) * (both_signs_ ? 2 : 1);
}

GroupScale GroupQuantizer::candidate(const WeightRange& range, int index) const {
  if (target_.storage.scale == ScaleType::kE8M0) {
    const float widest = std::max(stored_scale(range, target_.search.mx_mode), stored_scale(range, MxMode::kRceil));
    return with_scale(range, round_to_stored(std::ldexp(widest, -index)));
  }
  const int signs = both_signs_ ? 2 : 1, step = index / signs - wider_candidates_;
  double keep = 1 - step / 100.0;
  if (step < 0) keep = 1 - kWiderStep * step;
  if (step >= kClipSteps) keep = 0.2 - kNarrowerStep * (step - kClipSteps);
  const auto factor = static_cast<float>(keep);
  const WeightRange part{range.low * factor, range.high * factor};
  if (index % signs == 0) return scale_for(part);
  GroupScale scale = scale_for({-part.high, -part.low});
  return {-scale.stored, -scale.scale, 0, part};
}

std::vector<GroupScale> GroupQuantizer::candidates(const WeightRange& range) const {
  std::vector<GroupScale> scales;
  for (int i = 0; i < candidate_count(); ++i) {
    const GroupScale scale = candidate(range, i);
    if (scale.range.is_zero() || !std::isfinite(scale.scale)) continue;  // of the smallest weights, and the greatest
    if (scales.empty() || scales.back().stored != scale.stored || scales.back().zero != scale.zero)
      scales.push_back(scale);
  }
  return scales;
}

WeightRange GroupQuantizer::reach(const GroupScale& scale) const {
  const auto zero = static_cast<float>(scale.zero);
  const float top = scale.scale * (target_.storage.asymmetric ? max_code_ - zero : top_level_);
  const float bottom = scale.scale * (target_.storage.asymmetric ? -zero : bottom_level_);
  return {std::min(bottom, top), std::max(bottom, top)};
}

float GroupQuantizer::clipped(const WeightRange& range, const GroupScale& scale) const {
  const WeightRange levels = reach(scale);
  const float above = range.high > 0 ? range.high - levels.high : 0;
  const float below = range.low < 0 ? levels.low - range.low : 0;
  return std::max({above, below, 0.0f});
}

GroupScale GroupQuantizer::clip(const WeightGroup& group, const WeightRange& range) const {
  const double exponent = target_.search.range.clip_exponent;
  const float unit = std::max(range.high, -range.low);
  GroupScale best = scale_for(range);
  double least = std::numeric_limits<double>::infinity();
  for (const GroupScale& candidate : candidates(range)) {
    // The outermost weight alone may cost more than the best so far; 1e-4 covers the error of abs_power twice.
    float bound = clipped(range, candidate) / unit;
    abs_power(&bound, 1, exponent);
    if (group.importance == nullptr && static_cast<double>(bound) * (1 - 1e-4) > least) continue;
    const double error = this->error(group, candidate, exponent, unit);
    if (error < least) best = candidate, least = error;
  }
  return best;
}

GroupScale GroupQuantizer::choose(const WeightGroup& group) const {
  const WeightRange range = find_range(group);
  const RangeRule::Kind kind = target_.search.range.kind;
  if (range.is_zero()) return scale_for(range);
  if (kind == RangeRule::Kind::kClip) return clip(group, range);
  if (kind == RangeRule::Kind::kLeastSquares) return search_scale(*this, group, range);
  return scale_for(range);
}

}  // namespace bitloom
