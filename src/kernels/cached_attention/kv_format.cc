#include "kernels/cached_attention/kv_format.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <limits>

#include "base/dtype.h"
#include "base/vector_clones.h"

namespace bitloom {
namespace {

constexpr std::array kFormats = {KvFormat::kFp32, KvFormat::kFp16, KvFormat::kBf16, KvFormat::kInt8};
constexpr std::array<std::string_view, 4> kNames = {"fp32", "fp16", "bf16", "int8"};

DType dtype_of(KvFormat format) {
  return format == KvFormat::kFp32 ? DType::kF32 : format == KvFormat::kFp16 ? DType::kF16 : DType::kBF16;
}

/// The greatest |x|; NaN where one is not finite.
float greatest(const float* x, int64_t dim) {
  float most = 0, zero = 0;  // 0 x is NaN where x is not finite
  for (int64_t i = 0; i < dim; ++i) most = std::max(most, std::abs(x[i])), zero += 0.0f * x[i];
  return most + zero;
}

BITLOOM_VECTOR_CLONES void round_codes(const float* x, float inverse, int64_t dim, int8_t* out) {
  constexpr float kRound = 12582912.0f;  // 1.5 * 2^23: adding it rounds to an integer, nearest even
  for (int64_t i = 0; i < dim; ++i) out[i] = static_cast<int8_t>(static_cast<int>((x[i] * inverse + kRound) - kRound));
}

void write_int8(const float* x, int64_t dim, std::byte* out) {
  const float scale = greatest(x, dim) / 127;
  if (std::isnormal(scale)) {
    round_codes(x, 1 / scale, dim, reinterpret_cast<int8_t*>(out));
  } else {
    std::memset(out, 0, static_cast<size_t>(dim));
  }
  std::memcpy(out + dim, &scale, sizeof scale);
}

void read_int8(const std::byte* in, int64_t dim, float* out) {
  float scale;
  std::memcpy(&scale, in + dim, sizeof scale);
  const auto* codes = reinterpret_cast<const int8_t*>(in);
  for (int64_t i = 0; i < dim; ++i) out[i] = scale * static_cast<float>(codes[i]);
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
  if (format == KvFormat::kInt8) return write_int8(x, dim, out);
  encode_from_f32(dtype_of(format), x, dim, out);
}

void read_kv_head(KvFormat format, const std::byte* in, int64_t dim, float* out) {
  if (format == KvFormat::kInt8) return read_int8(in, dim, out);
  decode_to_f32(dtype_of(format), in, 0, dim, out);
}

}  // namespace bitloom
