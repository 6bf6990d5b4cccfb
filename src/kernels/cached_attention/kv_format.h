#pragma once
// How keys and values are kept between passes: a head of a token at a time, as fp32, fp16, bf16, or as integers of 8
// bits under a scale of their own.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

namespace bitloom {

enum class KvFormat { kFp32, kFp16, kBf16, kInt8 };

/// All of them; "fp32", "fp16", "bf16", "int8".
std::span<const KvFormat> every_kv_format();
std::string_view name_of(KvFormat format);
std::optional<KvFormat> find_kv_format(std::string_view name);

constexpr int64_t kv_channel_bytes(KvFormat format) {
  return format == KvFormat::kFp32 ? 4 : format == KvFormat::kInt8 ? 1 : 2;
}
/// Bytes of a head's `dim` channels. kInt8: the codes, then their scale as fp32.
constexpr int64_t kv_head_bytes(KvFormat format, int64_t dim) {
  return kv_channel_bytes(format) * dim + (format == KvFormat::kInt8 ? 4 : 0);
}

/// Rounds x [dim] to `out`, to nearest even. kInt8: codes in [-127, 127] of max |x| / 127; a head with a channel that
/// is not finite reads as NaN, one whose scale is below the normal numbers as 0.
void write_kv_head(KvFormat format, const float* x, int64_t dim, std::byte* out);

/// out [dim]: what the head reads as.
void read_kv_head(KvFormat format, const std::byte* in, int64_t dim, float* out);

}  // namespace bitloom
