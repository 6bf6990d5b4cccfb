#include "round/affine/affine_fit.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "base/memory/dtype.h"
#include "base/simd/vector_clones.h"

namespace bitloom {
namespace {

constexpr int64_t kLanes = 16;
constexpr int kRefits = 5;
constexpr size_t kRefitted = 6;  // of the ranges, those with the least errors
// Ranges tried, as shares of the whole: narrower ones serve few levels and heavy tails.
constexpr std::array kShares = {1.0f,  0.96f, 0.92f, 0.88f, 0.84f, 0.8f, 0.76f, 0.72f, 0.68f,
                                0.64f, 0.6f,  0.55f, 0.5f,  0.45f, 0.4f, 0.35f, 0.3f,  0.2f};

/// Sums over a group, codes counted from the middle of their range.
struct Sums {
  double h = 0, hq = 0, hqq = 0, hw = 0, hwq = 0, error = 0;
};

struct Lanes {
  float h[kLanes] = {}, hq[kLanes] = {}, hqq[kLanes] = {}, hw[kLanes] = {}, hwq[kLanes] = {}, error[kLanes] = {};
};

/// Nearest code for scale > 0, its reciprocal given; halves to even.
inline float nearest_code(float w, float reciprocal, float zero, float most) {
  // Adding and taking away 1.5 2^23 rounds to an integer; codes beyond the range are clamped before.
  constexpr float kMagic = 12582912.0f;
  return (std::min(std::max(w * reciprocal + zero, 0.0f), most) + kMagic) - kMagic;
}

/// w, h [n], n a multiple of kLanes.
BITLOOM_VECTOR_CLONES void add_lanes(const float* w, const float* h, int64_t n, float scale, float zero, float most,
                                     Lanes& sums) {
  const float reciprocal = 1 / scale, middle = most / 2;
  for (int64_t at = 0; at < n; at += kLanes) {
    for (int64_t i = 0; i < kLanes; ++i) {
      const float x = w[at + i], weight = h[at + i];
      const float code = nearest_code(x, reciprocal, zero, most);
      const float difference = x - scale * (code - zero), q = code - middle;
      sums.h[i] += weight;
      sums.hq[i] += weight * q;
      sums.hqq[i] += weight * q * q;
      sums.hw[i] += weight * x;
      sums.hwq[i] += weight * x * q;
      sums.error[i] += weight * difference * difference;
    }
  }
}

/// The error alone, into lanes.
BITLOOM_VECTOR_CLONES void add_errors(const float* w, const float* h, int64_t n, float scale, float zero, float most,
                                      float* errors) {
  const float reciprocal = 1 / scale;
  for (int64_t at = 0; at < n; at += kLanes) {
    for (int64_t i = 0; i < kLanes; ++i) {
      const float difference = w[at + i] - scale * (nearest_code(w[at + i], reciprocal, zero, most) - zero);
      errors[i] += h[at + i] * difference * difference;
    }
  }
}

double total(const float (&lanes)[kLanes]) {
  double sum = 0;
  for (const float x : lanes) sum += static_cast<double>(x);
  return sum;
}

/// A group as the search reads it: padded with weights that count nothing.
class Search {
 public:
  Search(const AffineGroup& group, int bits) : most_(static_cast<float>((1 << bits) - 1)), w_(group.w), h_(group.h) {
    if (h_.empty()) h_.assign(w_.size(), 1.0f);
    // Costs differ by orders of magnitude between matrices; in fp32 sums only their ratios should matter.
    const float greatest = h_.empty() ? 0.0f : *std::max_element(h_.begin(), h_.end());
    for (float& h : h_) h /= greatest;
    const size_t padded = (w_.size() + kLanes - 1) / kLanes * kLanes;
    w_.resize(padded), h_.resize(padded);
  }

  Sums sums(const AffineScale& s) const {
    Lanes lanes;
    add_lanes(w_.data(), h_.data(), static_cast<int64_t>(w_.size()), s.scale, s.zero, most_, lanes);
    return {total(lanes.h), total(lanes.hq), total(lanes.hqq), total(lanes.hw), total(lanes.hwq), total(lanes.error)};
  }

  double error(const AffineScale& s) const {
    float errors[kLanes] = {};
    add_errors(w_.data(), h_.data(), static_cast<int64_t>(w_.size()), s.scale, s.zero, most_, errors);
    return total(errors);
  }

  /// The line through the points (q, w): false where all codes are alike.
  bool refit(const Sums& sums, AffineScale& s) const {
    const double spread = sums.hqq - sums.hq * sums.hq / sums.h;
    if (!(spread > 1e-9 * sums.h)) return false;
    const double scale = (sums.hwq - sums.hw * sums.hq / sums.h) / spread;
    if (!(scale > 0)) return false;
    const double offset = (sums.hw - scale * sums.hq) / sums.h - scale * static_cast<double>(most_) / 2;
    s = stored_affine(scale, -offset / scale);
    return s.scale > 0;
  }

  /// The zero point alone: the mean of q - w / s.
  AffineScale refit_zero(const Sums& sums, AffineScale s) const {
    const double middle = static_cast<double>(most_) / 2, scale = s.scale;
    return stored_affine(scale, middle + (sums.hq - sums.hw / scale) / sums.h);
  }

  /// Alternates codes and `step` from s on, and gives the best on the way.
  template <typename Step>
  AffineScale alternate(AffineScale s, const Step& step) const {
    AffineScale best = s;
    double least = -1;
    for (int turn = 0; turn <= kRefits; ++turn) {
      const Sums at = sums(s);
      if (least >= 0 && !(at.error < least)) break;
      least = at.error, best = s;
      if (!step(at, s)) break;
    }
    return best;
  }

 private:
  float most_;
  std::vector<float> w_, h_;
};

struct Range {
  float low = 0, high = 0;
};

Range range_of(const std::vector<float>& w) {
  if (w.empty()) return {};
  const auto [low, high] = std::minmax_element(w.begin(), w.end());
  return {*low, *high};
}

/// Levels from low to high.
AffineScale between(double low, double high, int bits) {
  const double scale = (high - low) / ((1 << bits) - 1);
  return stored_affine(scale, -low / scale);
}

}  // namespace

AffineScale stored_affine(double scale, double zero) {
  return {finite_f16(static_cast<float>(scale)), finite_f16(static_cast<float>(zero))};
}

bool is_flat(const std::vector<float>& w, int bits) {
  constexpr double kMostZero = 32000;  // half of what fp16 reaches, and room for a search
  const auto [low, high] = range_of(w);
  const float greatest = std::max(std::abs(low), std::abs(high));
  const double range = double{high} - low;
  return !(range * 2000 > greatest && range * kMostZero > double{greatest} * ((1 << bits) - 1));
}

AffineScale range_affine(const AffineGroup& group, int bits) {
  const auto [low, high] = range_of(group.w);
  if (!is_flat(group.w, bits)) return between(low, high, bits);
  return stored_affine(std::max(std::abs(low), std::abs(high)), low < 0 ? 1 : 0);
}

namespace {

/// The weights that count, all where none does.
AffineGroup counting(const AffineGroup& group) {
  AffineGroup some;
  for (size_t i = 0; i < group.h.size(); ++i) {
    if (group.h[i] > 0) some.w.push_back(group.w[i]), some.h.push_back(group.h[i]);
  }
  return some.w.empty() ? AffineGroup{group.w, {}} : some;
}

}  // namespace

AffineScale fit_affine(const AffineGroup& all, int bits) {
  const AffineGroup group = counting(all);
  const AffineScale whole = range_affine(group, bits);
  if (whole.scale == 0 || is_flat(group.w, bits)) return whole;
  const auto [low, high] = range_of(group.w);
  double mean = 0;
  for (const float w : group.w) mean += static_cast<double>(w) / static_cast<double>(group.w.size());
  const Search search(group, bits);
  struct Candidate {
    double error;
    AffineScale scale;
  };
  std::vector<Candidate> candidates = {{search.error(whole), whole}};
  for (const float share : kShares) {
    const auto p = static_cast<double>(share);
    const AffineScale s = between(mean + (low - mean) * p, mean + (high - mean) * p, bits);
    if (s.scale == 0) break;
    candidates.push_back({search.error(s), s});
  }
  std::stable_sort(candidates.begin(), candidates.end(),
                   [](const Candidate& a, const Candidate& b) { return a.error < b.error; });
  AffineScale best = candidates[0].scale;
  double least = candidates[0].error;
  for (size_t i = 0; i < std::min(kRefitted, candidates.size()); ++i) {
    const AffineScale s = search.alternate(
        candidates[i].scale, [&](const Sums& sums, AffineScale& next) { return search.refit(sums, next); });
    if (const double error = search.error(s); error < least) least = error, best = s;
  }
  return best;
}

AffineScale binary_affine(const AffineGroup& group) {
  const auto n = static_cast<double>(group.w.size());
  double mean = 0, deviation = 0;
  for (const float w : group.w) mean += static_cast<double>(w) / n;
  for (const float w : group.w) deviation += std::abs(static_cast<double>(w) - mean) / n;
  if (is_flat(group.w, 1)) return range_affine(group, 1);
  return stored_affine(2 * deviation, 0.5 - mean / (2 * deviation));
}

AffineScale calibrate_affine(const AffineGroup& all, int bits) {
  const AffineGroup group = counting(all);
  if (bits == 1) return binary_affine(group);
  const AffineScale whole = range_affine(group, bits);
  if (whole.scale == 0 || is_flat(group.w, bits)) return whole;
  const auto [low, high] = range_of(group.w);
  const Search search(group, bits);
  AffineScale best = whole;
  double least = search.error(whole);
  for (int step = -50; step <= 50; ++step) {
    const double factor = 1 + 0.002 * step;
    const AffineScale s = between(low * factor, high * factor, bits);
    if (const double error = search.error(s); error < least) least = error, best = s;
  }
  return best;
}

AffineScale choose_affine(const AffineGroup& group, int bits, AffineSearch search) {
  switch (search) {
    case AffineSearch::kRange:
      return range_affine(group, bits);
    case AffineSearch::kCalibrated:
      return calibrate_affine(group, bits);
    case AffineSearch::kLeastSquares:
      return fit_affine(group, bits);
  }
  return {};
}

double affine_error(const AffineGroup& group, const AffineScale& scale, int bits) {
  double error = 0;
  for (size_t i = 0; i < group.w.size(); ++i) {
    const double difference =
        static_cast<double>(group.w[i]) - static_cast<double>(scale.value(affine_code(group.w[i], scale, bits)));
    error += (group.h.empty() ? 1.0 : static_cast<double>(group.h[i])) * difference * difference;
  }
  return error;
}

int affine_code(float w, const AffineScale& scale, int bits) {
  if (scale.scale == 0) return 0;
  return static_cast<int>(nearest_code(w, 1 / scale.scale, scale.zero, static_cast<float>((1 << bits) - 1)));
}

namespace {

struct Steps {
  float low = 0, step = 0;
};

/// low and step of codes that reach from the least value to the greatest, and the codes.
template <auto kValue, auto kCode>
Steps round_values(int bits, std::vector<AffineScale>& scales) {
  const auto less = [](const AffineScale& a, const AffineScale& b) { return a.*kValue < b.*kValue; };
  const auto [least, greatest] = std::minmax_element(scales.begin(), scales.end(), less);
  const auto most = static_cast<float>((1 << bits) - 1);
  Steps steps;
  steps.low = finite_f16((*least).*kValue);
  const float width = std::max(0.0f, (*greatest).*kValue - steps.low);
  const bool all_whole = std::all_of(scales.begin(), scales.end(),
                                     [](const AffineScale& s) { return s.*kValue == std::nearbyint(s.*kValue); });
  // Whole numbers, zero points that are levels of 0, stay what they are.
  steps.step = all_whole && width > 0 && width <= most ? 1.0f : finite_f16(width / most);
  for (AffineScale& s : scales) {
    const float x = steps.step > 0 ? (s.*kValue - steps.low) / steps.step : 0.0f;
    s.*kCode = static_cast<uint8_t>(std::clamp(std::nearbyint(x), 0.0f, most));
    s.*kValue = steps.low + steps.step * static_cast<float>(s.*kCode);
  }
  return steps;
}

}  // namespace

AffineSecond round_second(int second_bits, const std::vector<AffineGroup>& groups, int bits, bool refit,
                          std::vector<AffineScale>& scales) {
  const Steps of_scales = round_values<&AffineScale::scale, &AffineScale::scale_code>(second_bits, scales);
  for (size_t r = 0; r < scales.size() && refit; ++r) {
    AffineScale& s = scales[r];
    if (!(s.scale > 0)) continue;
    const Search search(counting(groups[r]), bits);
    const uint8_t code = s.scale_code;
    const float scale = s.scale;
    s = search.alternate(s, [&](const Sums& sums, AffineScale& next) {
      next = search.refit_zero(sums, next);
      next.scale = scale;
      return true;
    });
    s.scale_code = code;
  }
  const Steps of_zeros = round_values<&AffineScale::zero, &AffineScale::zero_code>(second_bits, scales);
  AffineSecond second{of_scales.low, of_scales.step, of_zeros.low, of_zeros.step};
  for (AffineScale& s : scales) second.decode(s);
  return second;
}

}  // namespace bitloom
