#include "round/scale/scale_lanes.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <variant>
#include <vector>

#include "base/simd/vector_clones.h"
#include "format/format.h"

namespace bitloom {
namespace {

// Sixteen floats. Where a machine's registers are narrower, the compiler takes several.
using Vector = float __attribute__((vector_size(sizeof(float) * kScaleLanes)));
using Bits = int32_t __attribute__((vector_size(sizeof(int32_t) * kScaleLanes)));
static_assert(sizeof(Vector) == sizeof(ScaleLanes::Lanes) && sizeof(Bits) == sizeof(Vector));

void multiply(ScaleLanes::Lanes& lanes, float factor) {
  for (float& value : lanes) value *= factor;
}

/// What lanes of levels q cost, over weights; inlined into each clone of a loop.
struct Sums {
  Vector error{}, wq{}, qq{}, q{};

  [[gnu::always_inline]] void add(float w, float h, const Vector& scale, const Vector& level) {
    const Vector d = w - scale * level, weighted = h * level;
    error += h * d * d;
    wq += weighted * w;
    qq += weighted * level;
    q += weighted;
  }
  /// The same with h 1, but for the sum of levels.
  [[gnu::always_inline]] void add_alike(float w, const Vector& scale, const Vector& level) {
    const Vector d = w - scale * level;
    error += d * d;
    wq += level * w;
    qq += level * level;
  }
  [[gnu::always_inline]] void store(ScaleLanes& lanes) const {
    std::memcpy(lanes.error.data(), &error, sizeof error);
    std::memcpy(lanes.wq.data(), &wq, sizeof wq);
    std::memcpy(lanes.qq.data(), &qq, sizeof qq);
    std::memcpy(lanes.q.data(), &q, sizeof q);
  }
};

/// What rounds lanes of weights to integers within bounds; inlined into each clone of a loop.
struct Integers {
  Vector inverse, bottom, top;
  [[gnu::always_inline]] void round(float w, Vector& q) const {
    constexpr float kUnit = 12582912.0f;  // 1.5 * 2^23: adding it rounds to an integer, ties to even
    q = w * inverse;
    q = q < bottom ? bottom : q;
    q = q > top ? top : q;
    q = (q + kUnit) - kUnit;
  }
};

/// Levels low .. high, less the zero point, in units of the scale.
BITLOOM_VECTOR_CLONES void judge_integers(const float* w, const float* h, int64_t n, float low, float high,
                                          ScaleLanes& lanes) {
  Vector scale, zero;
  std::memcpy(&scale, lanes.scale.data(), sizeof scale);
  std::memcpy(&zero, lanes.zero.data(), sizeof zero);
  const Integers integers{1.0f / scale, low - zero, high - zero};
  Sums sums;
  Vector q;
  for (int64_t i = 0; i < n; ++i) {
    integers.round(w[i], q);
    sums.add(w[i], h[i], scale, q);
  }
  sums.store(lanes);
}

/// The same of weights that all count alike, without zero points, whose sum of levels is not made.
BITLOOM_VECTOR_CLONES void judge_alike_integers(const float* w, int64_t n, float low, float high, ScaleLanes& lanes) {
  const Vector none{};
  Vector scale;
  std::memcpy(&scale, lanes.scale.data(), sizeof scale);
  const Integers integers{1.0f / scale, none + low, none + high};
  Sums sums;
  Vector q;
  for (int64_t i = 0; i < n; ++i) {
    integers.round(w[i], q);
    sums.add_alike(w[i], scale, q);
  }
  sums.store(lanes);
}

/// What rounds lanes of weights to a minifloat, ties to even, as its encoder does
/// (format/minifloat/minifloat_encoder.cc): adding 1.5 * 2^(23 - M) * 2^p to either sign leaves no bit below 2^(p - M).
/// Inlined into each clone of a loop.
struct Minifloats {
  float max, min_normal, unit;
  explicit Minifloats(const MinifloatFormat& format)
      : max(max_value(format)),
        min_normal(std::ldexp(1.0f, 1 - format.bias)),
        unit(std::ldexp(1.5f, 23 - format.mantissa)) {}

  [[gnu::always_inline]] void round(float w, const Vector& inverse, Vector& q) const {
    constexpr int32_t kExponent = 0x7F800000;
    const Vector none{}, top = none + max, normal = none + min_normal;
    q = w * inverse;
    q = q > -top ? q : -top;
    q = q < top ? q : top;
    Vector binade = reinterpret_cast<Vector>(reinterpret_cast<Bits>(q) & kExponent);
    binade = binade > normal ? binade : normal;
    const Vector shift = binade * unit;
    q = (q + shift) - shift;
  }
};

BITLOOM_VECTOR_CLONES void judge_minifloats(const float* w, const float* h, int64_t n, const Minifloats& format,
                                            ScaleLanes& lanes) {
  Vector scale, q;
  std::memcpy(&scale, lanes.scale.data(), sizeof scale);
  const Vector inverse = 1.0f / scale;
  const Minifloats floats = format;
  Sums sums;
  for (int64_t i = 0; i < n; ++i) {
    floats.round(w[i], inverse, q);
    sums.add(w[i], h[i], scale, q);
  }
  sums.store(lanes);
}

/// The level of y: the last one whose threshold is not above y. levels [count], thresholds [count - 1].
BITLOOM_VECTOR_CLONES void judge_table(const float* w, const float* h, int64_t n, const float* levels,
                                       const float* thresholds, int64_t count, ScaleLanes& lanes) {
  Vector scale;
  std::memcpy(&scale, lanes.scale.data(), sizeof scale);
  const Vector inverse = 1.0f / scale, none{};
  Sums sums;
  for (int64_t i = 0; i < n; ++i) {
    const Vector y = w[i] * inverse;
    Vector q = none + levels[0];
    for (int64_t k = 1; k < count; ++k) q = y >= thresholds[k - 1] ? none + levels[k] : q;
    sums.add(w[i], h[i], scale, q);
  }
  sums.store(lanes);
}

class IntegerJudge final : public ScaleJudge {
 public:
  IntegerJudge(const IntFormat& format, bool asymmetric)
      : unit_(std::ldexp(1.0f, -format.fraction)), asymmetric_(asymmetric) {
    const Grid grid = IntCodec::grid(format);
    low_ = asymmetric ? 0 : grid.levels.front() / unit_;
    high_ = asymmetric ? static_cast<float>((1 << format.bits) - 1) : grid.levels.back() / unit_;
  }

  void judge(const float* w, const float* h, int64_t n, bool alike, ScaleLanes& lanes) const override {
    const ScaleLanes::Lanes scale = lanes.scale;
    multiply(lanes.scale, unit_);
    if (alike && !asymmetric_) {
      judge_alike_integers(w, n, low_, high_, lanes);
    } else {
      judge_integers(w, h, n, low_, high_, lanes);
    }
    lanes.scale = scale;
    multiply(lanes.wq, unit_);
    multiply(lanes.qq, unit_ * unit_);
    multiply(lanes.q, unit_);
  }

 private:
  float unit_, low_, high_;
  bool asymmetric_;
};

class MinifloatJudge final : public ScaleJudge {
 public:
  explicit MinifloatJudge(const MinifloatFormat& format) : floats_(format) {}
  void judge(const float* w, const float* h, int64_t n, bool, ScaleLanes& lanes) const override {
    judge_minifloats(w, h, n, floats_, lanes);
  }

 private:
  Minifloats floats_;
};

class TableJudge final : public ScaleJudge {
 public:
  static constexpr size_t kMostLevels = 16;
  TableJudge(const Grid& grid, Ties ties) : levels_(grid.levels), thresholds_(rounding_thresholds(grid, ties)) {}

  void judge(const float* w, const float* h, int64_t n, bool, ScaleLanes& lanes) const override {
    judge_table(w, h, n, levels_.data(), thresholds_.data(), static_cast<int64_t>(levels_.size()), lanes);
  }

 private:
  std::vector<float> levels_, thresholds_;
};

/// One candidate after another.
class EncoderJudge final : public ScaleJudge {
 public:
  EncoderJudge(const GridStorage& storage, Ties ties) : encoder_(make_encoder(storage.format, ties)) {}

  void judge(const float* w, const float* h, int64_t n, bool, ScaleLanes& lanes) const override {
    lanes.error = lanes.wq = lanes.qq = lanes.q = {};
    for (size_t lane = 0; lane < kScaleLanes; ++lane) {
      if (lane > 0 && lanes.scale[lane] == lanes.scale[lane - 1]) {
        copy(lanes, lane - 1, lane);
      } else {
        judge_one(w, h, n, lanes, lane);
      }
    }
  }

 private:
  static void copy(ScaleLanes& lanes, size_t from, size_t to) {
    for (auto* sums : {&lanes.error, &lanes.wq, &lanes.qq, &lanes.q}) (*sums)[to] = (*sums)[from];
  }

  void judge_one(const float* w, const float* h, int64_t n, ScaleLanes& lanes, size_t lane) const {
    constexpr int64_t kRun = 256;
    const float scale = lanes.scale[lane], inverse = 1.0f / scale;
    float q[kRun];
    for (int64_t at = 0; at < n; at += kRun) {
      const int64_t count = std::min(kRun, n - at);
      for (int64_t i = 0; i < count; ++i) q[i] = w[at + i] * inverse;
      encoder_->snap(q, count, q);
      for (int64_t i = 0; i < count; ++i) {
        const float d = w[at + i] - scale * q[i], hq = h[at + i] * q[i];
        lanes.error[lane] += h[at + i] * d * d;
        lanes.wq[lane] += hq * w[at + i];
        lanes.qq[lane] += hq * q[i];
        lanes.q[lane] += hq;
      }
    }
  }

  std::unique_ptr<const ArrayEncoder> encoder_;
};

/// Levels that codes stand for, before a zero point is taken off.
std::vector<float> levels_of(const GridStorage& storage) {
  if (!storage.asymmetric) return grid_of(storage.format).levels;
  std::vector<float> levels;
  for (int code = 0; code < 1 << bits_of(storage.format); ++code) levels.push_back(static_cast<float>(code));
  return levels;
}

}  // namespace

std::unique_ptr<const ScaleJudge> make_scale_judge(const GridStorage& storage, Ties ties) {
  const auto* integer = std::get_if<IntFormat>(&storage.format);
  if (integer != nullptr && (ties == Ties::kEven || storage.asymmetric)) {
    return std::make_unique<IntegerJudge>(*integer, storage.asymmetric);
  }
  const auto* minifloat = std::get_if<MinifloatFormat>(&storage.format);
  if (minifloat != nullptr && ties == Ties::kEven) return std::make_unique<MinifloatJudge>(*minifloat);
  const Grid grid = grid_of(storage.format);
  if (grid.levels.size() <= TableJudge::kMostLevels) return std::make_unique<TableJudge>(grid, ties);
  return std::make_unique<EncoderJudge>(storage, ties);
}

void judge_by_definition(const GridStorage& storage, const float* w, const float* h, int64_t n, ScaleLanes& lanes) {
  const std::vector<float> levels = levels_of(storage);
  for (size_t lane = 0; lane < kScaleLanes; ++lane) {
    const double scale = lanes.scale[lane], zero = lanes.zero[lane];
    double error = 0, wq = 0, qq = 0, sum = 0;
    for (int64_t i = 0; i < n; ++i) {
      double best = levels[0] - zero;
      for (const double level : levels) {
        if (std::abs(w[i] - scale * (level - zero)) < std::abs(w[i] - scale * best)) best = level - zero;
      }
      const double d = w[i] - scale * best, importance = h[i];
      error += importance * d * d, wq += importance * w[i] * best, qq += importance * best * best;
      sum += importance * best;
    }
    lanes.error[lane] = static_cast<float>(error), lanes.wq[lane] = static_cast<float>(wq);
    lanes.qq[lane] = static_cast<float>(qq), lanes.q[lane] = static_cast<float>(sum);
  }
}

}  // namespace bitloom
