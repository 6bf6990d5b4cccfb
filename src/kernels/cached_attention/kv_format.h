#pragma once
// How keys and values are kept between passes: a head of a token at a time, as fp32, fp16, bf16, or in 8 bits under a
// scale of their own: integers, or E4M3 (Micikevicius et al., "FP8 formats for deep learning", 2022: to 448, no
// infinities).

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

namespace bitloom {

enum class KvFormat { kFp32, kFp16, kBf16, kInt8, kFp8 };

/// All of them; "fp32", "fp16", "bf16", "int8", "fp8".
std::span<const KvFormat> every_kv_format();
std::string_view name_of(KvFormat format);
std::optional<KvFormat> find_kv_format(std::string_view name);

/// Whether a head has a scale.
constexpr bool kv_has_scale(KvFormat format) { return format == KvFormat::kInt8 || format == KvFormat::kFp8; }
constexpr int64_t kv_channel_bytes(KvFormat format) {
  return kv_has_scale(format) ? 1 : format == KvFormat::kFp32 ? 4 : 2;
}
/// Bytes of a head's `dim` channels: the codes, then their scale, if any, as fp32.
constexpr int64_t kv_head_bytes(KvFormat format, int64_t dim) {
  return kv_channel_bytes(format) * dim + (kv_has_scale(format) ? 4 : 0);
}

/// Rounds x [dim] to `out`, to nearest even. kInt8: codes in [-127, 127] of max |x| / 127; kFp8: codes of max |x| /
/// 448. With a scale, a head with a channel that is not finite reads as NaN, one whose scale is below the normal
/// numbers as 0.
void write_kv_head(KvFormat format, const float* x, int64_t dim, std::byte* out);

/// out [count]: channels as they are kept, without their scale.
void read_kv_codes(KvFormat format, const std::byte* in, int64_t count, float* out);

/// out [dim]: what the head reads as.
void read_kv_head(KvFormat format, const std::byte* in, int64_t dim, float* out);

}  // namespace bitloom
