#pragma once
// Element types as safetensors spells them, and their exact conversion to fp32.

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

namespace bitloom {

enum class DType : uint8_t {
  kBool,
  kU8,
  kI8,
  kU16,
  kI16,
  kU32,
  kI32,
  kU64,
  kI64,
  kF16,
  kBF16,
  kF32,
  kF64,
  kC64,
  kF8E4M3,
  kF8E5M2,
  kF8E4M3Fnuz,
  kF8E5M2Fnuz,
  kF8E8M0,
  kF6E2M3,
  kF6E3M2,
  kF4,
};

struct DTypeInfo {
  DType dtype;
  std::string_view name;  // safetensors spelling, e.g. "BF16"
  int bits;               // per element; F4 and F6 tensors are packed densely
  bool is_float;          // true when to_f32 is defined for model weights
};

/// All element types, in the order of the enum.
std::span<const DTypeInfo> dtype_table();
const DTypeInfo& info(DType dtype);
std::optional<DType> dtype_from_name(std::string_view name);

/// Bytes of `count` elements. `count * bits` must be a whole number of bytes (callers check with dtype_fits).
constexpr int64_t bytes_of(int bits, int64_t count) { return (count * bits + 7) / 8; }
inline int64_t bytes_of(DType dtype, int64_t count) { return bytes_of(info(dtype).bits, count); }

/// IEEE half and bfloat16, exact widening; narrowing rounds to nearest even and keeps NaN a NaN.
inline float f16_to_f32(uint16_t h) {
  // Exponent and fraction moved into place are the value times 2^-112; the product restores it, subnormals included.
  const uint32_t magnitude = static_cast<uint32_t>(h & 0x7FFF) << 13;
  const float scaled = std::bit_cast<float>(magnitude) * 0x1p112f;
  const uint32_t finite = std::bit_cast<uint32_t>(scaled), special = magnitude | 0x7F800000u;
  return std::bit_cast<float>((magnitude >= 0x0F800000u ? special : finite) | static_cast<uint32_t>(h & 0x8000) << 16);
}
inline float bf16_to_f32(uint16_t b) { return std::bit_cast<float>(static_cast<uint32_t>(b) << 16); }
uint16_t f32_to_f16(float x);
/// The nearest finite fp16.
inline float finite_f16(float x) { return f16_to_f32(f32_to_f16(std::clamp(x, -65504.0f, 65504.0f))); }
uint16_t f32_to_bf16(float x);

/// Value of a minifloat code of `e` exponent and `m` mantissa bits below its sign, no code reserved:
/// (-1)^s 2^(x - bias) (1 + f / 2^m), or the subnormal (-1)^s 2^(1 - bias) f / 2^m where the exponent x is 0. Exact
/// while it lies in fp32's range.
float minifloat_value(uint32_t code, int e, int m, int bias);

/// Widens `count` elements, starting at element `first`, of a little-endian buffer of `dtype` to fp32.
/// Defined for every real type (complex: Error). 64-bit integers and F64 round to nearest.
void decode_to_f32(DType dtype, const std::byte* data, int64_t first, int64_t count, float* out);

/// Narrows fp32 to `dtype` (F32, F16 or BF16), nearest even. `out` has bytes_of(dtype, count) bytes.
void encode_from_f32(DType dtype, const float* in, int64_t count, std::byte* out);

}  // namespace bitloom
