#include "round/scale/group_quantizer.h"

#include <algorithm>
#include <cmath>

#include "base/simd/vector_clones.h"
#include "round/scale/abs_power.h"

namespace bitloom {
namespace {

// Rounding a scale to bf16 may cost 2^-9 of the range, which for full-range integers already ends half a step beyond
// the top level: that much is no saturation.
constexpr float kScaleSlack = 0x1p-8f;
constexpr int kWiderCandidates = 16, kNarrowerCandidates = 32;
constexpr int64_t kRun = 256;  // weights at a time, in stack buffers

/// y = w / scale by division: a reciprocal flips exact ties. A zero scale belongs to an all-zero group.
BITLOOM_VECTOR_CLONES void divide(const float* w, int64_t n, float scale, float* y) {
  if (scale == 0) {
    std::fill(y, y + n, 0.0f);
    return;
  }
  for (int64_t i = 0; i < n; ++i) y[i] = w[i] / scale;
}

bool has_equal_steps(const std::vector<float>& levels) {
  for (size_t i = 2; i < levels.size(); ++i) {
    if (levels[i] - levels[i - 1] != levels[1] - levels[0]) return false;
  }
  return true;
}

/// Calls visit(offset into data, offset into a row, count) for runs of at most kRun weights.
template <typename Visit>
void for_each_run(const WeightGroup& group, const Visit& visit) {
  for (int64_t r = 0; r < group.rows; ++r) {
    for (int64_t c = 0; c < group.cols; c += kRun) visit(r, c, std::min(kRun, group.cols - c));
  }
}

float round_integer(float y, Ties ties) {
  constexpr float kUnit = 12582912.0f;  // 1.5 * 2^23: adding it rounds to an integer, ties to even
  if (ties == Ties::kEven) return (y + kUnit) - kUnit;
  if (ties == Ties::kAway) return std::round(y);
  return std::copysign(std::ceil(std::abs(y) - 0.5f), y);
}

/// Four partial sums, so that the loop vectorises without reordering anything from run to run.
struct Lanes {
  double error[4] = {}, norm[4] = {};
  float max_error[4] = {};
};

void accumulate(const float* w, const float* q, int64_t n, EncodeStats& stats) {
  Lanes lanes;
  const auto add = [&](int64_t i, int64_t lane) {
    const double d = static_cast<double>(w[i]) - q[i];
    lanes.error[lane] += d * d;
    lanes.norm[lane] += static_cast<double>(w[i]) * w[i];
    const float a = std::abs(w[i] - q[i]);
    lanes.max_error[lane] = a > lanes.max_error[lane] ? a : lanes.max_error[lane];
  };
  int64_t i = 0;
  for (; i + 4 <= n; i += 4) {
    for (int64_t lane = 0; lane < 4; ++lane) add(i + lane, lane);
  }
  for (; i < n; ++i) add(i, 0);
  stats.error += (lanes.error[0] + lanes.error[1]) + (lanes.error[2] + lanes.error[3]);
  stats.norm += (lanes.norm[0] + lanes.norm[1]) + (lanes.norm[2] + lanes.norm[3]);
  for (const float a : lanes.max_error) stats.max_error = std::max<double>(stats.max_error, a);
}

/// q = (w - scale q) / unit.
BITLOOM_VECTOR_CLONES void relative_errors(const float* w, int64_t n, float scale, float unit, float* q) {
  for (int64_t i = 0; i < n; ++i) q[i] = (w[i] - scale * q[i]) / unit;
}

BITLOOM_VECTOR_CLONES double sum_of(const float* x, int64_t n) {
  double lanes[4] = {};
  int64_t i = 0;
  for (; i + 4 <= n; i += 4) {
    for (int64_t lane = 0; lane < 4; ++lane) lanes[lane] += x[i + lane];
  }
  for (; i < n; ++i) lanes[0] += x[i];
  return (lanes[0] + lanes[1]) + (lanes[2] + lanes[3]);
}

}  // namespace

void EncodeStats::add(const EncodeStats& other) {
  error += other.error;
  norm += other.norm;
  max_error = std::max(max_error, other.max_error);
  saturated += other.saturated;
}

GroupQuantizer::GroupQuantizer(const GridTarget& target, float tensor_scale)
    : target_(target),
      tensor_scale_(tensor_scale),
      limits_(limits_of(target.storage.format)),
      max_code_(static_cast<float>((1 << bits_of(target.storage.format)) - 1)),
      encoder_(make_encoder(target.storage.format, target.search.ties)) {
  const Grid grid = grid_of(target.storage.format);
  const auto& levels = grid.levels;
  const size_t n = levels.size();
  max_abs_ = target.storage.asymmetric ? max_code_ : grid.max_abs;
  bottom_level_ = levels[0];
  top_level_ = levels[n - 1];
  high_limit_ = levels[n - 1] + (levels[n - 1] - levels[n - 2]) / 2 + kScaleSlack * grid.max_abs;
  low_limit_ = levels[0] - (levels[1] - levels[0]) / 2 - kScaleSlack * grid.max_abs;
  decode_ = grid.decode;
  if (target.search.range.kind != RangeRule::Kind::kLeastSquares) return;
  judge_ = make_scale_judge(target.storage, target.search.ties);
  // The constraints know magnitudes only.
  both_signs_ = allows_negative_scales(target.storage) && target.search.constraint == ScaleConstraint::kNone;
  narrower_candidates_ = kNarrowerCandidates;
  wider_candidates_ = has_equal_steps(levels) ? 0 : kWiderCandidates;
}

void GroupQuantizer::encode_run(const float* y, int64_t n, uint8_t zero, uint8_t* codes) const {
  if (!target_.storage.asymmetric) return encoder_->encode(y, n, codes);
  // code = clamp(round(y) + zero, 0, 2^b - 1), clamped first so that rounding sees small numbers.
  const float z = zero, low = -z, high = max_code_ - z;
  for (int64_t i = 0; i < n; ++i) {
    const float a = y[i] < low ? low : y[i];
    const float b = a > high ? high : a;
    codes[i] = static_cast<uint8_t>(static_cast<int>(round_integer(b, target_.search.ties) + z));
  }
}

void GroupQuantizer::snap_run(const float* y, int64_t n, uint8_t zero, float* levels) const {
  if (!target_.storage.asymmetric) return encoder_->snap(y, n, levels);
  const float z = zero, low = -z, high = max_code_ - z;
  for (int64_t i = 0; i < n; ++i) {
    const float a = y[i] < low ? low : y[i];
    levels[i] = round_integer(a > high ? high : a, target_.search.ties);
  }
}

double GroupQuantizer::error(const WeightGroup& group, const GroupScale& scale, double exponent, float unit) const {
  float y[kRun], q[kRun];
  double total = 0;
  for_each_run(group, [&](int64_t r, int64_t c, int64_t n) {
    const float* w = group.data + r * group.stride + c;
    divide(w, n, scale.scale, y);
    snap_run(y, n, scale.zero, q);
    relative_errors(w, n, scale.scale, unit, q);
    abs_power(q, n, exponent);
    if (group.importance != nullptr) {
      for (int64_t i = 0; i < n; ++i) q[i] *= group.importance[c + i];
    }
    total += sum_of(q, n);
  });
  return total;
}

void GroupQuantizer::encode(const WeightGroup& group, const GroupScale& scale, uint8_t* codes, int64_t code_stride,
                            EncodeStats* stats) const {
  float y[kRun], q[kRun];
  const float high = target_.storage.asymmetric
                         ? max_code_ - static_cast<float>(scale.zero) + 0.5f + kScaleSlack * max_code_
                         : high_limit_;
  const float low =
      target_.storage.asymmetric ? -static_cast<float>(scale.zero) - 0.5f - kScaleSlack * max_code_ : low_limit_;
  for_each_run(group, [&](int64_t r, int64_t c, int64_t n) {
    const float* w = group.data + r * group.stride + c;
    uint8_t* out = codes + r * code_stride + c;
    divide(w, n, scale.scale, y);
    encode_run(y, n, scale.zero, out);
    if (stats == nullptr) return;
    int saturated = 0;
    for (int64_t i = 0; i < n; ++i) saturated += (y[i] > high ? 1 : 0) + (y[i] < low ? 1 : 0);
    stats->saturated += saturated;
    if (target_.storage.asymmetric) {
      for (int64_t i = 0; i < n; ++i) q[i] = scale.scale * static_cast<float>(out[i] - scale.zero);
    } else {
      for (int64_t i = 0; i < n; ++i) q[i] = scale.scale * decode_[out[i]];
    }
    accumulate(w, q, n, *stats);
  });
}

int64_t GroupQuantizer::encode_scaled(const float* y, int64_t n, const GroupScale* scales, uint8_t* codes,
                                      float* levels) const {
  int64_t saturated = 0;
  if (!target_.storage.asymmetric) {
    encoder_->encode(y, n, codes);
    for (int64_t i = 0; i < n; ++i) levels[i] = decode_[codes[i]];
    for (int64_t i = 0; i < n; ++i) saturated += (y[i] > high_limit_ ? 1 : 0) + (y[i] < low_limit_ ? 1 : 0);
    return saturated;
  }
  for (int64_t i = 0; i < n; ++i) {
    const float zero = scales[i].zero, low = -zero, high = max_code_ - zero;
    saturated += y[i] > high + 0.5f || y[i] < low - 0.5f ? 1 : 0;
    levels[i] = round_integer(std::clamp(y[i], low, high), target_.search.ties);
    codes[i] = static_cast<uint8_t>(static_cast<int>(levels[i] + zero));
  }
  return saturated;
}

void GroupQuantizer::decode_scaled(const uint8_t* codes, int64_t n, const GroupScale* scales, float* weights) const {
  for (int64_t i = 0; i < n; ++i) {
    weights[i] = scales[i].scale *
                 (target_.storage.asymmetric ? static_cast<float>(codes[i] - scales[i].zero) : decode_[codes[i]]);
  }
}

}  // namespace bitloom
