#include "round/fpq/candidates.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace bitloom {

double exponent_bias(const MinifloatFormat& format, double clip) {
  return format.bias + std::log2(double{max_value(format)} / clip);
}

double clip_of_bias(const MinifloatFormat& format, double bias) {
  return double{max_value(format)} * std::exp2(format.bias - bias);
}

std::vector<MinifloatFormat> formats_of_bits(int bits) {
  std::vector<MinifloatFormat> formats;
  for (int exponent = 1; exponent <= std::min(5, bits - 1); ++exponent) {
    formats.push_back({exponent, bits - 1 - exponent, usual_bias(exponent, Reserve::kNone), Reserve::kNone});
  }
  return formats;
}

GridStorage with_format(GridStorage storage, const MinifloatFormat& format) {
  const bool named = storage.scale != default_scale(storage.format);
  storage.format = format;
  if (!named) storage.scale = default_scale(format);
  return storage;
}

std::vector<double> clip_candidates(ClipGrid grid, const MinifloatFormat& format, double range) {
  std::vector<double> clips;
  if (grid == ClipGrid::kClip) {
    for (int i = -4; i <= 43; ++i) clips.push_back(range * std::exp2(-i / 12.0));
  } else {
    const double bias = exponent_bias(format, range);
    for (int i = 0; i < 100; ++i) clips.push_back(clip_of_bias(format, bias * (0.01 + 0.0119 * i)));
    clips.push_back(range);
  }
  std::erase_if(clips, [](double clip) {
    return !(clip > std::numeric_limits<float>::min() && clip <= std::numeric_limits<float>::max());
  });
  return clips;
}

std::vector<uint8_t> channel_shifts(const MinifloatFormat& format, double clip, std::span<const float> absmax) {
  const double most = (1 << format.exponent) - 1;
  std::vector<uint8_t> shifts(absmax.size());
  for (size_t c = 0; c < absmax.size(); ++c) {
    if (!(absmax[c] > 0)) continue;
    shifts[c] = static_cast<uint8_t>(std::clamp(std::round(std::log2(clip / double{absmax[c]})), 0.0, most));
  }
  return shifts;
}

}  // namespace bitloom
