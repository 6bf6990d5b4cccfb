#include "kernels/cached_attention/kv_format.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>

#include "base/memory/dtype.h"
#include "base/simd/vector_clones.h"

namespace bitloom {
namespace {

constexpr std::array kFormats = {KvFormat::kFp32, KvFormat::kFp16, KvFormat::kBf16, KvFormat::kInt8, KvFormat::kFp8};
constexpr std::array<std::string_view, 5> kNames = {"fp32", "fp16", "bf16", "int8", "fp8"};

DType dtype_of(KvFormat format) {
  switch (format) {
    case KvFormat::kFp16:
      return DType::kF16;
    case KvFormat::kBf16:
      return DType::kBF16;
    case KvFormat::kFp8:
      return DType::kF8E4M3;
    default:
      return DType::kF32;
  }
}

/// The greatest |x|; NaN where one is not finite.
float greatest(const float* x, int64_t dim) {
  float most = 0, zero = 0;  // 0 x is NaN where x is not finite
  for (int64_t i = 0; i < dim; ++i) most = std::max(most, std::abs(x[i])), zero += 0.0f * x[i];
  return most + zero;
}

constexpr float kRound = 12582912.0f;  // 1.5 * 2^23: adding it rounds to an integer, nearest even

BITLOOM_VECTOR_CLONES void round_int8(const float* x, float inverse, int64_t dim, int8_t* out) {
  for (int64_t i = 0; i < dim; ++i) out[i] = static_cast<int8_t>(static_cast<int>((x[i] * inverse + kRound) - kRound));
}

/// |x inverse| <= 448. From 2^-6 on an exponent (bias 7) and three bits behind the point, below it steps of 2^-9.
BITLOOM_VECTOR_CLONES void round_fp8(const float* x, float inverse, int64_t dim, uint8_t* out) {
  for (int64_t i = 0; i < dim; ++i) {
    const float y = x[i] * inverse, size = std::abs(y);
    const auto bits = std::bit_cast<uint32_t>(size);
    const uint32_t normal = ((bits + 0x7ffff + (bits >> 20 & 1)) >> 20) - ((127 - 7) << 3);
    const auto small = static_cast<uint32_t>(static_cast<int>((size * 512 + kRound) - kRound));
    const uint32_t sign = std::bit_cast<uint32_t>(y) >> 31 << 7;
    out[i] = static_cast<uint8_t>(sign | (size < 0x1p-6f ? small : normal));
  }
}

void write_codes(KvFormat format, const float* x, int64_t dim, std::byte* out) {
  const bool integers = format == KvFormat::kInt8;
  const float scale = greatest(x, dim) / (integers ? 127 : 448);
  if (!std::isnormal(scale)) {
    std::memset(out, 0, static_cast<size_t>(dim));
  } else if (integers) {
    round_int8(x, 1 / scale, dim, reinterpret_cast<int8_t*>(out));
  } else {
    round_fp8(x, 1 / scale, dim, reinterpret_cast<uint8_t*>(out));
  }
  std::memcpy(out + dim, &scale, sizeof scale);
}

void read_codes(KvFormat format, const std::byte* in, int64_t dim, float* out) {
  float scale;
  std::memcpy(&scale, in + dim, sizeof scale);
  read_kv_codes(format, in, dim, out);
  for (int64_t i = 0; i < dim; ++i) out[i] *= scale;
}

}  // namespace

std::span<const KvFormat> every_kv_format() { return kFormats; }

std::string_view name_of(KvFormat format) { return kNames[static_cast<size_t>(format)]; }

std::optional<KvFormat> find_kv_format(std::string_view name) {
  for (const KvFormat format : kFormats) {
    if (name_of(format) == name) return format;
  }
  return std::nullopt;
}

void write_kv_head(KvFormat format, const float* x, int64_t dim, std::byte* out) {
  if (kv_has_scale(format)) return write_codes(format, x, dim, out);
  encode_from_f32(dtype_of(format), x, dim, out);
}

void read_kv_codes(KvFormat format, const std::byte* in, int64_t count, float* out) {
  if (format != KvFormat::kInt8) return decode_to_f32(dtype_of(format), in, 0, count, out);
  const auto* codes = reinterpret_cast<const int8_t*>(in);
  for (int64_t i = 0; i < count; ++i) out[i] = static_cast<float>(codes[i]);
}

void read_kv_head(KvFormat format, const std::byte* in, int64_t dim, float* out) {
  if (kv_has_scale(format)) return read_codes(format, in, dim, out);
  read_kv_codes(format, in, dim, out);
}

}  // namespace bitloom
