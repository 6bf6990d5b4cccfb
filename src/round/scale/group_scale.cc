// How a GroupQuantizer finds a group's range and scale.
#include <algorithm>
#include <cmath>
#include <limits>

#include "round/scale/abs_power.h"
#include "round/scale/group_quantizer.h"
#include "round/scale/rank.h"

namespace bitloom {
namespace {

constexpr int kClipSteps = 80;  // of 1 %: GPTQ's grid 100 and maxshrink 0.8
constexpr int kExponentSteps = 4;

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
  return round_tensor_scale(whole.is_zero() ? 0 : wanted_scale(whole, kMaxBlockScale), max_abs_);
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

std::vector<GroupScale> GroupQuantizer::candidates(const WeightRange& range) const {
  std::vector<GroupScale> scales;
  const auto add = [&](const GroupScale& scale) {
    if (scales.empty() || scales.back().stored != scale.stored || scales.back().zero != scale.zero)
      scales.push_back(scale);
  };
  if (target_.storage.scale == ScaleType::kE8M0) {
    const float widest = std::max(stored_scale(range, target_.search.mx_mode), stored_scale(range, MxMode::kRceil));
    for (int i = 0; i < kExponentSteps; ++i) add(with_scale(range, round_to_stored(std::ldexp(widest, -i))));
    return scales;
  }
  for (int i = 0; i < kClipSteps; ++i) {
    const float keep = static_cast<float>(1.0 - i / 100.0);
    const WeightRange shrunk{range.low * keep, range.high * keep};
    if (!shrunk.is_zero()) add(scale_for(shrunk));
  }
  return scales;
}

float GroupQuantizer::clipped(const WeightRange& range, const GroupScale& scale) const {
  const float zero = static_cast<float>(scale.zero);
  const float top = target_.storage.asymmetric ? max_code_ - zero : top_level_;
  const float bottom = target_.storage.asymmetric ? -zero : bottom_level_;
  const float above = range.high > 0 ? range.high - scale.scale * top : 0;
  const float below = range.low < 0 ? scale.scale * bottom - range.low : 0;
  return std::max({above, below, 0.0f});
}

GroupScale GroupQuantizer::choose(const WeightGroup& group) const {
  const WeightRange range = find_range(group);
  if (target_.search.range.kind != RangeRule::Kind::kMse || range.is_zero()) return scale_for(range);
  const float unit = std::max(range.high, -range.low);
  GroupScale best = scale_for(range);
  double least = std::numeric_limits<double>::infinity();
  for (const GroupScale& candidate : candidates(range)) {
    // The outermost weight alone may cost more than the best so far; 1e-4 covers the error of abs_power twice.
    float bound = clipped(range, candidate) / unit;
    abs_power(&bound, 1, target_.search.range.mse_exponent);
    if (group.importance == nullptr && static_cast<double>(bound) * (1 - 1e-4) > least) continue;
    const double error = this->error(group, candidate, target_.search.range.mse_exponent, unit);
    if (error < least) best = candidate, least = error;
  }
  return best;
}

}  // namespace bitloom
