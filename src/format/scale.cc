#include "format/scale.h"

#include <algorithm>
#include <bit>
#include <cassert>
#include <cmath>
#include <cstring>
#include <limits>

#include "format/minifloat/cast.h"
#include "format/minifloat/minifloat.h"

namespace bitloom {
namespace {

constexpr float kMaxFloat = std::numeric_limits<float>::max();
constexpr float kMinNormal = std::numeric_limits<float>::min();
constexpr float kMaxF16 = 65504.0f, kMinNormalF16 = 0x1p-14f, kMinF16 = 0x1p-24f;

float round_f16(float x) {
  x = std::clamp(x, kMinF16, kMaxF16);
  if (x < kMinNormalF16) return std::ceil(x / kMinF16) * kMinF16;
  return f16_to_f32(f32_to_f16(x));
}

float round_bf16(float x) {
  const float rounded = bf16_to_f32(f32_to_bf16(x));
  return std::isfinite(rounded) ? rounded : bf16_to_f32(0x7F7F);
}

float round_e4m3(float x, BlockScaleFloor floor) {
  x = std::clamp(x, floor == BlockScaleFloor::kNormal ? 0x1p-6f : 0x1p-9f, kMaxBlockScale);
  // As cast_minifloat, for every group: adding 1.5 * 2^20 binades leaves the three mantissa bits of E4M3, ties to even.
  const float binade = std::bit_cast<float>(std::bit_cast<uint32_t>(x) & 0x7F800000u);
  const float shift = std::max(binade, 0x1p-6f) * 0x1.8p20f;
  return (x + shift) - shift;
}

float round_to_type(ScaleType type, float x, BlockScaleFloor floor) {
  switch (type) {
    case ScaleType::kF32:
      return std::max(x, kMinNormal);
    case ScaleType::kF16:
      return round_f16(x);
    case ScaleType::kBF16:
      return round_bf16(std::max(x, kMinNormal));
    case ScaleType::kE8M0:
      return std::ldexp(1.0f, std::clamp(ceil_log2(x), -127, 127));
    case ScaleType::kE4M3TwoLevel:
      return round_e4m3(x, floor);
  }
  return x;
}

}  // namespace

DType stored_dtype(ScaleType type) {
  switch (type) {
    case ScaleType::kF32:
      return DType::kF32;
    case ScaleType::kF16:
      return DType::kF16;
    case ScaleType::kBF16:
      return DType::kBF16;
    case ScaleType::kE8M0:
      return DType::kF8E8M0;
    case ScaleType::kE4M3TwoLevel:
      return DType::kF8E4M3;
  }
  return DType::kF32;
}

int scale_bits(ScaleType type) { return info(stored_dtype(type)).bits; }

int floor_log2(float x) {
  assert(std::isfinite(x) && x > 0);
  int exponent;
  std::frexp(x, &exponent);  // x = m 2^exponent, m in [0.5, 1)
  return exponent - 1;
}

int ceil_log2(float x) {
  assert(std::isfinite(x) && x > 0);
  int exponent;
  return std::frexp(x, &exponent) == 0.5f ? exponent - 1 : exponent;
}

int mx_exponent(float amax, MxMode mode, const FormatLimits& limits) {
  int e = 0;
  switch (mode) {
    case MxMode::kFloor:
      e = floor_log2(amax) - limits.max_exponent;
      break;
    case MxMode::kCeil:
      e = ceil_log2(amax) - limits.max_exponent;
      break;
    case MxMode::kRceil: {
      const float quotient = amax * (1.0f / limits.max);
      e = quotient > 0 ? ceil_log2(quotient) : -127;
      break;
    }
    case MxMode::kEven: {
      // Half of the last mantissa bit, added to the fp32 bits: carries into the exponent when the significand rounds up
      // to 2.
      const uint32_t bits = std::bit_cast<uint32_t>(amax) + (1u << (23 - limits.mantissa - 1));
      e = static_cast<int>(bits >> 23) - 127 - limits.max_exponent;
      break;
    }
  }
  return std::clamp(e, -127, 127);
}

float round_scale(ScaleType type, float wanted, float max_abs, BlockScaleFloor floor) {
  assert(wanted >= 0 && max_abs > 0);
  if (type == ScaleType::kE4M3TwoLevel) return round_to_type(type, wanted, floor);
  const float largest = max_abs > 1 ? std::nextafter(kMaxFloat / max_abs, 0.0f) : kMaxFloat;
  wanted = std::clamp(wanted, std::numeric_limits<float>::denorm_min(), largest);
  const float rounded = round_to_type(type, wanted, floor);
  if (rounded <= largest) return rounded;
  // Rounding went up past the limit: a step or two of the type down (steps are at most 2^-7 of the value).
  return type == ScaleType::kE8M0 ? rounded / 2 : round_to_type(type, rounded * 0.99f, floor);
}

float round_tensor_scale(float wanted, float max_abs) {
  if (wanted == 0) return 1;
  const float reach = std::max(max_abs, 1.0f) * kMaxBlockScale;  // scale and levels, each finite
  return std::clamp(wanted, kMinNormal, std::nextafter(kMaxFloat / reach, 0.0f));
}

void store_scale(ScaleType type, float value, std::byte* data, int64_t index) {
  switch (type) {
    case ScaleType::kF32:
    case ScaleType::kF16:
    case ScaleType::kBF16: {
      const DType dtype = stored_dtype(type);
      encode_from_f32(dtype, &value, 1, data + bytes_of(dtype, index));
      break;
    }
    case ScaleType::kE8M0:
      data[index] = static_cast<std::byte>(value == 0 ? 0 : floor_log2(value) + 127);
      break;
    case ScaleType::kE4M3TwoLevel:
      data[index] = static_cast<std::byte>(cast_minifloat(kE4M3Fn, value));
      break;
  }
#ifndef NDEBUG
  float stored;
  load_scales(type, data, index, 1, &stored);
  assert(stored == value || value == 0);
#endif
}

void load_scales(ScaleType type, const std::byte* data, int64_t first, int64_t count, float* out) {
  decode_to_f32(stored_dtype(type), data, first, count, out);
}

}  // namespace bitloom
