#include "forward/input_rounder.h"

#include <algorithm>
#include <bit>
#include <limits>
#include <utility>

#include "forward/row_loop.h"

namespace bitloom {

InputRounder::InputRounder(const ActivationFormat& format)
    : InputRounder(format, std::shared_ptr<const ArrayEncoder>(make_encoder(format.format, Ties::kEven))) {}

InputRounder::InputRounder(ActivationFormat format, std::shared_ptr<const ArrayEncoder> encoder)
    : format_(std::move(format)), encoder_(std::move(encoder)), largest_(limits_of(format_.format).max) {}

// max|x| / v_max; NaN when a value is not finite. Magnitudes compare as their bits do.
float InputRounder::scale_of(const float* x, int64_t count) const {
  uint32_t greatest = 0;
  for (int64_t i = 0; i < count; ++i) greatest = std::max(greatest, std::bit_cast<uint32_t>(x[i]) & 0x7fffffffu);
  const float absmax = std::bit_cast<float>(greatest);
  return absmax <= std::numeric_limits<float>::max() ? absmax / largest_ : std::numeric_limits<float>::quiet_NaN();
}

void InputRounder::round_run(const float* x, int64_t count, float scale, float* out) const {
  if (!(scale >= std::numeric_limits<float>::min())) {
    std::fill_n(out, count, scale != scale ? scale : 0.0f);
    return;
  }
  for (int64_t i = 0; i < count; ++i) out[i] = x[i] / scale;
  encoder_->snap(out, count, out);
  for (int64_t i = 0; i < count; ++i) out[i] *= scale;
}

void InputRounder::round(const float* x, int64_t rows, int64_t width, float* out, ThreadPool& threads) const {
  const bool shared = format_.granularity == ActivationFormat::Granularity::kTensor;
  const int64_t group = format_.granularity == ActivationFormat::Granularity::kGroup ? format_.group : width;
  const float of_all = shared ? scale_of(x, rows * width) : 0.0f;
  for_rows(threads, rows, [&](int64_t row) {
    for (int64_t begin = 0; begin < width; begin += group) {
      const int64_t at = row * width + begin, count = std::min(group, width - begin);
      round_run(x + at, count, shared ? of_all : scale_of(x + at, count), out + at);
    }
  });
}

}  // namespace bitloom
