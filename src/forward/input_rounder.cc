#include "forward/input_rounder.h"

#include <algorithm>
#include <bit>
#include <cassert>
#include <cmath>
#include <limits>
#include <utility>

#include "base/error.h"
#include "base/simd/vector_clones.h"
#include "format/side/frame.h"
#include "forward/row_loop.h"

namespace bitloom {
namespace {

using Granularity = ActivationFormat::Granularity;

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

/// Magnitudes compare as their bits do.
BITLOOM_VECTOR_CLONES int32_t greatest_magnitude(const float* x, int64_t count) {
  int32_t greatest = 0;
  for (int64_t i = 0; i < count; ++i) {
    const int32_t magnitude = std::bit_cast<int32_t>(x[i]) & 0x7fffffff;
    greatest = magnitude > greatest ? magnitude : greatest;
  }
  return greatest;
}

BITLOOM_VECTOR_CLONES void divide(const float* x, float by, int64_t count, float* out) {
  for (int64_t i = 0; i < count; ++i) out[i] = x[i] / by;
}

BITLOOM_VECTOR_CLONES void multiply(float* x, float by, int64_t count) {
  for (int64_t i = 0; i < count; ++i) x[i] *= by;
}

/// out = s clamp(round_even(x / s), low, high), x / s that of fp32. It is the product in fp64 with 1 / s, rounded to
/// fp32: a quotient of two numbers of 24 bits lies 2^-49 of itself or more from the middle of two, and that product is
/// off by less than 2^-51 of it. (Where the quotient is no normal number, both round to 0.) Adding 1.5 * 2^23 leaves no
/// bit below the unit.
BITLOOM_VECTOR_CLONES void round_to_steps(const float* x, int64_t count, float step, float low, float high,
                                          float* out) {
  constexpr float kUnit = 12582912.0f;
  const double inverse = 1 / static_cast<double>(step);
  for (int64_t i = 0; i < count; ++i) {
    auto level = static_cast<float>(static_cast<double>(x[i]) * inverse);
    level = level < low ? low : level;
    level = level > high ? high : level;
    out[i] = ((level + kUnit) - kUnit) * step;
  }
}

/// max|x|; NaN when a value is not finite.
float absmax_of(const float* x, int64_t count) {
  const auto absmax = std::bit_cast<float>(greatest_magnitude(x, count));
  return absmax <= std::numeric_limits<float>::max() ? absmax : kNan;
}

}  // namespace

InputRounder::InputRounder(const ActivationFormat& format, int64_t width)
    : InputRounder(format, std::shared_ptr<const ArrayEncoder>(make_encoder(format.format, Ties::kEven))) {
  if (const auto* integer = std::get_if<IntFormat>(&format.format); integer != nullptr && integer->fraction == 0) {
    const std::vector<float> levels = grid_of(*integer).levels;
    steps_ = {.low = levels.front(), .high = levels.back()};
  }
  if (format.rotation == 0) return;
  const FrameStorage frame{.in_block = format.rotation, .seed = format.seed};
  rotation_ = std::make_shared<const BlockRotation>(in_rotation(frame, width));
}

InputRounder::InputRounder(ActivationFormat format, std::shared_ptr<const ArrayEncoder> encoder)
    : format_(std::move(format)),
      encoder_(std::move(encoder)),
      reassembly_(format_.moves),
      limits_(limits_of(format_.format)),
      least_(format_.scale == ScaleType::kE8M0 ? 0x1p-127f : std::numeric_limits<float>::min()) {
  const ActivationRange& range = format_.range;
  if (range.is_calibrated())
    fail(ErrorKind::kFailed, "\"{}\": calibration has yet to find its range", to_string(format_));
  if (range.kind == ActivationRange::Kind::kFixed) fixed_ = scale_of_range(format_, range.low, range.high);
  if (const auto* integer = std::get_if<IntFormat>(&format_.format); integer != nullptr && !integer->narrow) {
    const auto half = static_cast<float>(1 << (integer->bits - 1));
    reaches_below_ = half / (half - 1);
  }
  if (format_.staggered) offsets_ = reassembly_.offsets();
  for (Reassembly::Offset& offset : offsets_) {
    offset.steps = std::ldexp(offset.steps, -std::get<IntFormat>(format_.format).fraction);
  }
  for (const uint8_t shift : format_.shifts) {
    up_.push_back(std::ldexp(1.0f, shift));
    down_.push_back(std::ldexp(1.0f, -shift));
  }
}

/// Of values that share a scale, all finite.
InputRounder::Covered InputRounder::covered(const float* x, int64_t count) const {
  if (fixed_)
    return {format_.asymmetric ? format_.range.low : -reaches_below_ * format_.range.high, format_.range.high};
  Covered range;
  for (int64_t i = 0; i < count; ++i) range = {std::min(range.low, x[i]), std::max(range.high, x[i])};
  if (!format_.asymmetric) range.high = std::max(range.high, -range.low), range.low = -range.high;
  return {range.low * format_.clip * (format_.asymmetric ? 1 : reaches_below_), range.high * format_.clip};
}

/// Of values that share one.
InputRounder::Scale InputRounder::scale_of(const float* x, int64_t count) const {
  const float absmax = absmax_of(x, count);
  if (absmax != absmax) return {kNan, 0};
  if (fixed_) return *fixed_;
  if (format_.scale == ScaleType::kE8M0) {
    return {absmax > 0 ? std::ldexp(1.0f, mx_exponent(absmax, format_.mx_mode, limits_)) : 0.0f, 0};
  }
  const float clip = format_.clip;
  if (!format_.asymmetric) return scale_of_range(format_, -absmax * clip, absmax * clip);
  float low = 0, high = 0;
  for (int64_t i = 0; i < count; ++i) low = std::min(low, x[i]), high = std::max(high, x[i]);
  return scale_of_range(format_, low * clip, high * clip);
}

/// t of two-level scales.
InputRounder::Scale InputRounder::outer_scale(const float* x, int64_t width) const {
  if (fixed_) return *fixed_;
  const float absmax = absmax_of(x, width);
  return absmax == absmax ? scale_of_range(format_, -absmax, absmax) : Scale{kNan, 0};
}

InputRounder::Scale InputRounder::group_scale(const float* x, int64_t count, Scale outer) const {
  const float absmax = absmax_of(x, count);
  if (absmax != absmax || !(outer.step > 0)) return {absmax + outer.step, 0};
  return {outer.step * round_scale(ScaleType::kE4M3TwoLevel, absmax / limits_.max / outer.step, limits_.max), 0};
}

void InputRounder::round_integers(const float* x, int64_t count, Scale scale, float* out) const {
  const auto top = static_cast<float>((1 << bits_of(format_.format)) - 1);
  for (int64_t i = 0; i < count; ++i) {
    const float code = std::clamp(std::nearbyint(x[i] / scale.step) + scale.zero, 0.0f, top);
    out[i] = scale.step * (code - scale.zero);
  }
}

/// The parts of split channels among channels [begin, begin + count) of a row, which share a scale.
void InputRounder::stagger(float step, int64_t begin, int64_t count, float* row) const {
  const auto is_before = [](const Reassembly::Offset& offset, int64_t channel) { return offset.channel < channel; };
  for (auto offset = std::lower_bound(offsets_.begin(), offsets_.end(), begin, is_before);
       offset != offsets_.end() && offset->channel < begin + count; ++offset) {
    row[offset->channel] += offset->steps * step;
  }
}

void InputRounder::round_run(const float* x, int64_t count, Scale scale, float* out) const {
  if (!(scale.step >= least_)) {
    std::fill_n(out, count, scale.step != scale.step ? kNan : 0.0f);
    return;
  }
  if (format_.asymmetric) return round_integers(x, count, scale, out);
  if (steps_) return round_to_steps(x, count, scale.step, steps_->low, steps_->high, out);
  divide(x, scale.step, count, out);
  encoder_->snap(out, count, out);
  multiply(out, scale.step, count);
}

bool InputRounder::has_token_scales() const {
  const auto* integer = std::get_if<IntFormat>(&format_.format);
  const bool reaches_128 = format_.clip < 1 && integer != nullptr && integer->bits == 8 && !integer->narrow;
  return integer != nullptr && integer->fraction == 0 && !format_.asymmetric && !reaches_128 &&
         format_.granularity == Granularity::kToken;
}

/// The last scale of the row: its own, of a format with one.
InputRounder::Scale InputRounder::round_groups(const float* x, int64_t width, const std::optional<Scale>& of_all,
                                               float* out) const {
  const int64_t group = format_.granularity == Granularity::kGroup ? format_.group : width;
  const bool two_level = format_.scale == ScaleType::kE4M3TwoLevel;
  const Scale outer = two_level ? outer_scale(x, width) : Scale{};
  Scale scale;
  if (!up_.empty()) {
    assert(static_cast<int64_t>(up_.size()) == width);
    scale = scale_of(x, width);  // of the values as they are, which alone may be not finite
    for (int64_t c = 0; c < width; ++c) out[c] = x[c] * up_[static_cast<size_t>(c)];
    round_run(out, width, scale, out);
    for (int64_t c = 0; c < width; ++c) out[c] *= down_[static_cast<size_t>(c)];
    return scale;
  }
  for (int64_t begin = 0; begin < width; begin += group) {
    const int64_t count = std::min(group, width - begin);
    scale = of_all ? *of_all : two_level ? group_scale(x + begin, count, outer) : scale_of(x + begin, count);
    if (!offsets_.empty()) stagger(scale.step, begin, count, out);  // a prepared row: x is out
    round_run(x + begin, count, scale, out + begin);
  }
  return scale;
}

/// What is made of a row before its values are rounded: at most one of both.
void InputRounder::prepare(float* row, int64_t width) const {
  assert(rotation_ == nullptr || rotation_->size() == width);
  if (rotation_ != nullptr) rotation_->rotate(row, 0, width, 1);
  reassembly_.move_values(row);
}

void InputRounder::round(const float* x, int64_t rows, int64_t width, float* out, ThreadPool& threads, float* scales,
                         Coordinates place) const {
  if (prepares()) {
    for_rows(threads, rows, [&](int64_t row) {
      if (out != x) std::copy_n(x + row * width, width, out + row * width);
      prepare(out + row * width, width);
    });
    x = out;
  }
  const bool turns_back = rotation_ != nullptr && place == Coordinates::kOwn;
  std::optional<Scale> of_all;
  if (format_.granularity == Granularity::kTensor && !fixed_) of_all = scale_of(x, rows * width);
  for_rows(threads, rows, [&](int64_t row) {
    const Scale scale = round_groups(x + row * width, width, of_all, out + row * width);
    if (scales != nullptr) scales[row] = scale.step >= least_ || scale.step != scale.step ? scale.step : 0.0f;
    if (turns_back) rotation_->rotate_back(out + row * width, 0, width, 1);
  });
}

void InputRounder::clip_groups(const float* x, int64_t width, const std::optional<Covered>& of_all, float* dx) const {
  const int64_t group = format_.granularity == Granularity::kGroup ? format_.group : width;
  for (int64_t begin = 0; begin < width; begin += group) {
    const int64_t end = std::min(width, begin + group);
    const auto [low, high] = of_all ? *of_all : covered(x + begin, end - begin);
    for (int64_t c = begin; c < end; ++c) {
      const float value = up_.empty() ? x[c] : x[c] * up_[static_cast<size_t>(c)];
      if (value < low || value > high) dx[c] = 0;
    }
  }
}

void InputRounder::round_adjoint(const float* x, int64_t rows, int64_t width, float* dx, ThreadPool& threads) const {
  if (passes_gradients()) return;
  std::vector<float> prepared;
  if (prepares()) {
    prepared.assign(x, x + rows * width);
    for_rows(threads, rows, [&](int64_t row) {
      prepare(prepared.data() + row * width, width);
      if (rotation_ != nullptr) rotation_->rotate(dx + row * width, 0, width, 1);
    });
    x = prepared.data();
  }
  std::optional<Covered> of_all;
  if (format_.granularity == Granularity::kTensor) of_all = covered(x, rows * width);
  for_rows(threads, rows, [&](int64_t row) {
    if (clips()) clip_groups(x + row * width, width, of_all, dx + row * width);
    reassembly_.move_gradients(dx + row * width);
    if (rotation_ != nullptr) rotation_->rotate_back(dx + row * width, 0, width, 1);
  });
}

void InputRounder::round_row(const float* x, int64_t width, float* out) const {
  assert(format_.granularity != Granularity::kTensor || fixed_);
  if (prepares()) {
    if (out != x) std::copy_n(x, width, out);
    prepare(out, width);
    x = out;
  }
  round_groups(x, width, std::nullopt, out);
  if (rotation_ != nullptr) rotation_->rotate_back(out, 0, width, 1);
}

}  // namespace bitloom
