#include "round/scale/scale_search.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "base/simd/vector_clones.h"

namespace bitloom {
namespace {

constexpr int kRefits = 3;

/// Sixteen partial sums of h times the square of what lies outside [low, high].
BITLOOM_VECTOR_CLONES float squares_outside(const float* w, const float* h, int64_t n, float low, float high) {
  constexpr int64_t kParts = 16;
  float parts[kParts] = {};
  int64_t i = 0;
  for (; i + kParts <= n; i += kParts) {
    for (int64_t k = 0; k < kParts; ++k) {
      const float above = w[i + k] - high, below = low - w[i + k];
      const float most = above > below ? above : below, beyond = most > 0 ? most : 0;
      parts[k] += h[i + k] * beyond * beyond;
    }
  }
  float sum = 0;
  for (const float part : parts) sum += part;
  for (; i < n; ++i) {
    const float beyond = std::max({w[i] - high, low - w[i], 0.0f});
    sum += h[i] * beyond * beyond;
  }
  return sum;
}

/// y = factor * x.
BITLOOM_VECTOR_CLONES void scaled(const float* x, int64_t n, float factor, float* y) {
  for (int64_t i = 0; i < n; ++i) y[i] = factor * x[i];
}

/// A power of two near 1 / x, so that products are exact; for x near the ends of fp32 it only comes as close as it can.
float reciprocal_power(float x) { return std::ldexp(1.0f, std::clamp(-floor_log2(x), -126, 126)); }

class Search {
 public:
  Search(const GroupQuantizer& quantizer, const WeightGroup& group, const WeightRange& range)
      : quantizer_(quantizer),
        range_(range),
        unit_(reciprocal_power(std::max(range.high, -range.low))),
        best_(quantizer.scale_for(range)) {
    w_.resize(static_cast<size_t>(group.rows * group.cols));
    for (int64_t r = 0; r < group.rows; ++r) {
      scaled(group.data + r * group.stride, group.cols, unit_, w_.data() + r * group.cols);
    }
    load_importance(group);
  }

  GroupScale run() {
    try_candidates();
    if (asymmetric()) try_sides();
    if (quantizer_.target().storage.scale == ScaleType::kE8M0) return best_;
    for (int i = 0; i < kRefits && refit(start_); ++i) start_ = lanes_;
    if (asymmetric()) search_beside();
    return best_;
  }

 private:
  bool asymmetric() const { return quantizer_.target().storage.asymmetric; }
  int64_t size() const { return static_cast<int64_t>(w_.size()); }

  void load_importance(const WeightGroup& group) {
    float most = 0;
    for (int64_t c = 0; group.importance != nullptr && c < group.cols; ++c) most = std::max(most, group.importance[c]);
    alike_ = most == 0;
    h_.assign(w_.size(), 1.0f);
    for (int64_t r = 0; r < group.rows && !alike_; ++r) {
      scaled(group.importance, group.cols, reciprocal_power(most), h_.data() + r * group.cols);
    }
    if (!asymmetric()) return;
    for (size_t i = 0; i < w_.size(); ++i) total_ += h_[i], total_w_ += h_[i] * w_[i];
  }

  /// Lanes of candidates until what lies beyond their levels alone costs more than the best so far.
  void try_candidates() {
    start_.error.fill(std::numeric_limits<float>::infinity());
    const int count = quantizer_.candidate_count();
    for (int next = 0; next < count;) {
      int filled = 0;
      for (; filled < kScaleLanes && next < count; ++next) {
        const GroupScale scale = quantizer_.candidate(range_, next);
        if (scale.range.is_zero() || !std::isfinite(scale.scale)) continue;
        if (filled > 0 && is_repeated(scale, filled)) continue;
        tried_[static_cast<size_t>(filled++)] = scale;
      }
      if (filled == 0 || (best_error_ < kInfinity && least_error_beyond(filled) > best_error_)) return;
      judge(filled);
      keep_starts();
    }
  }

  /// Ranges of which each side keeps another part: what zero points are for.
  void try_sides() {
    constexpr float kKeeps[] = {1, 0.8f, 0.62f, 0.46f, 0.32f, 0.2f, 0.1f};
    int filled = 0;
    for (const float low : kKeeps) {
      for (const float high : kKeeps) {
        const WeightRange part{range_.low * low, range_.high * high};
        if (low == high || part.is_zero()) continue;
        tried_[static_cast<size_t>(filled++)] = quantizer_.scale_for(part);
        if (filled < kScaleLanes) continue;
        judge(filled);
        keep_starts();
        filled = 0;
      }
    }
    if (filled == 0) return;
    judge(filled);
    keep_starts();
  }

  /// Whether a scale of the same sign, one or two lanes before, is the same.
  bool is_repeated(const GroupScale& scale, int filled) const {
    for (int lane = std::max(0, filled - 2); lane < filled; ++lane) {
      const GroupScale& before = tried_[static_cast<size_t>(lane)];
      if (before.stored == scale.stored && before.zero == scale.zero) return true;
    }
    return false;
  }

  /// A lower bound of the error of all candidates from the first of `filled` on, of each sign: they reach no farther.
  /// Zero points are rounded by candidate, which moves both ends by up to half a step.
  float least_error_beyond(int filled) const {
    float least = kInfinity;
    for (int lane = 0; lane < std::min(filled, quantizer_.has_both_signs() ? 2 : 1); ++lane) {
      const GroupScale& scale = tried_[static_cast<size_t>(lane)];
      const WeightRange reach = quantizer_.reach(scale);
      const float margin = asymmetric() ? scale.scale : 0;
      least =
          std::min(least, squares_outside(w_.data(), h_.data(), size(), (std::min(reach.low, 0.0f) - margin) * unit_,
                                          (std::max(reach.high, 0.0f) + margin) * unit_));
    }
    return least;
  }

  /// Judges tried_[0..filled), the rest of the lanes repeating the last, and keeps the best of all.
  void judge(int filled) {
    for (size_t lane = 0; lane < kScaleLanes; ++lane) {
      if (lane >= static_cast<size_t>(filled)) tried_[lane] = tried_[lane - 1];
      lanes_.scale[lane] = tried_[lane].scale * unit_;
      lanes_.zero[lane] = tried_[lane].zero;
    }
    quantizer_.judge().judge(w_.data(), h_.data(), size(), alike_, lanes_);
    for (size_t lane = 0; lane < kScaleLanes; ++lane) {
      if (lanes_.error[lane] < best_error_) best_ = tried_[lane], best_error_ = lanes_.error[lane];
    }
  }

  /// The best of each lane so far, where refits begin.
  void keep_starts() {
    for (size_t lane = 0; lane < kScaleLanes; ++lane) {
      if (!(lanes_.error[lane] < start_.error[lane])) continue;
      start_.scale[lane] = lanes_.scale[lane], start_.zero[lane] = lanes_.zero[lane];
      start_.error[lane] = lanes_.error[lane];
      start_.wq[lane] = lanes_.wq[lane], start_.qq[lane] = lanes_.qq[lane], start_.q[lane] = lanes_.q[lane];
    }
  }

  /// Scales (and zero points) that fit the codes of `from` best, judged with their own codes. Whether that helped.
  bool refit(const ScaleLanes& from) {
    const float before = best_error_;
    for (size_t lane = 0; lane < kScaleLanes; ++lane) tried_[lane] = fitted(from, lane);
    judge(kScaleLanes);
    return best_error_ < before;
  }

  GroupScale fitted(const ScaleLanes& from, size_t lane) const {
    float wq = from.wq[lane], qq = from.qq[lane], zero = from.zero[lane];
    if (asymmetric()) {
      const float q = from.q[lane], slope = (total_ * wq - total_w_ * q) / (total_ * qq - q * q);
      const float moved = zero - (total_w_ - slope * q) / (total_ * slope);
      const float wanted = moved >= 0 ? std::min(std::nearbyint(moved), quantizer_.max_code()) : 0.0f;
      const float shift = slope > 0 ? zero - wanted : 0;  // q is counted from the new zero point
      wq += shift * total_w_, qq += 2 * shift * q + shift * shift * total_, zero -= shift;
    }
    return stored(wq / qq, zero, from, lane);
  }

  /// A wanted scale, in units of this search, as it would be stored; the lane's own where there is none.
  GroupScale stored(float wanted, float zero, const ScaleLanes& from, size_t lane) const {
    const bool usable = std::isfinite(wanted) && (wanted > 0 || (wanted < 0 && quantizer_.has_both_signs()));
    if (!usable) wanted = from.scale[lane], zero = from.zero[lane];
    const float magnitude = std::abs(wanted) / unit_ / quantizer_.tensor_scale();
    const float rounded = std::copysign(quantizer_.round_to_stored(magnitude), wanted);
    GroupScale scale{rounded, rounded * quantizer_.tensor_scale(), static_cast<uint8_t>(zero), range_};
    if (asymmetric()) scale.range = quantizer_.reach(scale);
    return scale;
  }

  /// Zero points beside the best one, with scales near its own, and refits of these.
  void search_beside() {
    const ScaleLanes::Lanes none{};
    ScaleLanes beside;
    beside.error = none;
    const float scale = best_.scale * unit_;
    for (size_t lane = 0; lane < kScaleLanes; ++lane) {
      const int zero = static_cast<int>(best_.zero) + static_cast<int>(lane % 3) - 1;
      beside.zero[lane] = std::clamp(static_cast<float>(zero), 0.0f, quantizer_.max_code());
      beside.scale[lane] = scale * (1.0f + 0.04f * static_cast<float>(static_cast<int>(lane / 3) - 2));
      tried_[lane] = stored(beside.scale[lane], beside.zero[lane], beside, lane);
    }
    judge(kScaleLanes);
    for (int i = 0; i < 2; ++i) {
      const ScaleLanes from = lanes_;
      if (!refit(from)) return;
    }
  }

  static constexpr float kInfinity = std::numeric_limits<float>::infinity();

  const GroupQuantizer& quantizer_;
  WeightRange range_;
  float unit_;                     // power of two that brings the weights near 1
  std::vector<float> w_, h_;       // in units of unit_, and of the greatest importance
  bool alike_ = true;              // h is 1 throughout
  float total_ = 0, total_w_ = 0;  // sum h, sum h w: with zero points
  std::array<GroupScale, kScaleLanes> tried_;
  ScaleLanes lanes_;  // what judge() made of tried_
  ScaleLanes start_;
  GroupScale best_;
  float best_error_ = kInfinity;
};

}  // namespace

GroupScale search_scale(const GroupQuantizer& quantizer, const WeightGroup& group, const WeightRange& range) {
  return Search(quantizer, group, range).run();
}

}  // namespace bitloom
