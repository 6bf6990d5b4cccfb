#include "base/memory/dtype.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cassert>
#include <cmath>
#include <cstring>
#include <limits>

#include "base/error.h"

namespace bitloom {
namespace {

constexpr std::array<DTypeInfo, 22> kTable = {{
    {DType::kBool, "BOOL", 8, false},
    {DType::kU8, "U8", 8, false},
    {DType::kI8, "I8", 8, false},
    {DType::kU16, "U16", 16, false},
    {DType::kI16, "I16", 16, false},
    {DType::kU32, "U32", 32, false},
    {DType::kI32, "I32", 32, false},
    {DType::kU64, "U64", 64, false},
    {DType::kI64, "I64", 64, false},
    {DType::kF16, "F16", 16, true},
    {DType::kBF16, "BF16", 16, true},
    {DType::kF32, "F32", 32, true},
    {DType::kF64, "F64", 64, true},
    {DType::kC64, "C64", 64, false},
    {DType::kF8E4M3, "F8_E4M3", 8, true},
    {DType::kF8E5M2, "F8_E5M2", 8, true},
    {DType::kF8E4M3Fnuz, "F8_E4M3FNUZ", 8, true},
    {DType::kF8E5M2Fnuz, "F8_E5M2FNUZ", 8, true},
    {DType::kF8E8M0, "F8_E8M0", 8, true},
    {DType::kF6E2M3, "F6_E2M3", 6, true},
    {DType::kF6E3M2, "F6_E3M2", 6, true},
    {DType::kF4, "F4", 4, true},
}};

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kInf = std::numeric_limits<float>::infinity();

float f8_e4m3(uint32_t code) { return (code & 0x7F) == 0x7F ? kNan : minifloat_value(code, 4, 3, 7); }
float f8_e5m2(uint32_t code) {
  if ((code & 0x7F) > 0x7C) return kNan;
  if ((code & 0x7F) == 0x7C) return code & 0x80 ? -kInf : kInf;
  return minifloat_value(code, 5, 2, 15);
}
float f8_e4m3fnuz(uint32_t code) { return code == 0x80 ? kNan : minifloat_value(code, 4, 3, 8); }
float f8_e5m2fnuz(uint32_t code) { return code == 0x80 ? kNan : minifloat_value(code, 5, 2, 16); }
float f8_e8m0(uint32_t code) { return code == 0xFF ? kNan : std::ldexp(1.0f, static_cast<int>(code) - 127); }
float f6_e2m3(uint32_t code) { return minifloat_value(code, 2, 3, 1); }
float f6_e3m2(uint32_t code) { return minifloat_value(code, 3, 2, 3); }
float f4_e2m1(uint32_t code) { return minifloat_value(code, 2, 1, 1); }

template <typename T>
T load(const std::byte* data, int64_t i) {
  T value;
  std::memcpy(&value, data + i * static_cast<int64_t>(sizeof(T)), sizeof(T));
  return value;
}

template <typename T>
void decode_numbers(const std::byte* data, int64_t first, int64_t count, float* out) {
  for (int64_t i = 0; i < count; ++i) out[i] = static_cast<float>(load<T>(data, first + i));
}

/// Elements of `bits` <= 8 bits, densely packed, first element in the lowest bits.
void decode_small(float (*value)(uint32_t), int bits, const std::byte* data, int64_t first, int64_t count, float* out) {
  for (int64_t i = 0; i < count; ++i) {
    const int64_t bit = (first + i) * bits;
    uint32_t word = static_cast<uint32_t>(data[bit / 8]);
    if (bit % 8 + bits > 8) word |= static_cast<uint32_t>(data[bit / 8 + 1]) << 8;
    out[i] = value((word >> (bit % 8)) & ((1u << bits) - 1));
  }
}

}  // namespace

std::span<const DTypeInfo> dtype_table() { return kTable; }

const DTypeInfo& info(DType dtype) {
  const DTypeInfo& row = kTable[static_cast<size_t>(dtype)];
  assert(row.dtype == dtype);
  return row;
}

std::optional<DType> dtype_from_name(std::string_view name) {
  for (const DTypeInfo& row : kTable) {
    if (row.name == name) return row.dtype;
  }
  return std::nullopt;
}

float minifloat_value(uint32_t code, int e, int m, int bias) {
  const uint32_t fraction = code & ((1u << m) - 1);
  const int exponent = static_cast<int>(code >> m) & ((1 << e) - 1);
  const float magnitude = exponent == 0 ? std::ldexp(static_cast<float>(fraction), 1 - bias - m)
                                        : std::ldexp(static_cast<float>(fraction + (1u << m)), exponent - bias - m);
  return (code >> (e + m)) & 1 ? -magnitude : magnitude;
}

uint16_t f32_to_f16(float x) {
  const uint32_t bits = std::bit_cast<uint32_t>(x), magnitude = bits & 0x7FFFFFFF;
  const uint32_t sign = (bits >> 16) & 0x8000;
  if (magnitude > 0x7F800000) return static_cast<uint16_t>(sign | 0x7E00 | ((magnitude >> 13) & 0x3FF));
  if (magnitude >= 0x477FF000) return static_cast<uint16_t>(sign | 0x7C00);  // rounds to 2^16 or beyond
  if (magnitude < 0x38800000) {  // subnormal half: adding 0.5 leaves the rounded count of 2^-24 in the low bits
    const float shifted = std::bit_cast<float>(magnitude) + 0.5f;
    return static_cast<uint16_t>(sign | (std::bit_cast<uint32_t>(shifted) - 0x3F000000));
  }
  const uint32_t even = (magnitude >> 13) & 1;
  return static_cast<uint16_t>(sign | ((magnitude - 0x38000000 + 0xFFF + even) >> 13));
}

uint16_t f32_to_bf16(float x) {
  const uint32_t bits = std::bit_cast<uint32_t>(x);
  if ((bits & 0x7FFFFFFF) > 0x7F800000) return static_cast<uint16_t>((bits >> 16) | 0x40);
  return static_cast<uint16_t>((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16);
}

void decode_to_f32(DType dtype, const std::byte* data, int64_t first, int64_t count, float* out) {
  switch (dtype) {
    case DType::kBool:
    case DType::kU8:
      return decode_numbers<uint8_t>(data, first, count, out);
    case DType::kI8:
      return decode_numbers<int8_t>(data, first, count, out);
    case DType::kU16:
      return decode_numbers<uint16_t>(data, first, count, out);
    case DType::kI16:
      return decode_numbers<int16_t>(data, first, count, out);
    case DType::kU32:
      return decode_numbers<uint32_t>(data, first, count, out);
    case DType::kI32:
      return decode_numbers<int32_t>(data, first, count, out);
    case DType::kU64:
      return decode_numbers<uint64_t>(data, first, count, out);
    case DType::kI64:
      return decode_numbers<int64_t>(data, first, count, out);
    case DType::kF64:
      return decode_numbers<double>(data, first, count, out);
    case DType::kF32:
      if (count == 0) return;  // data may be null
      std::memcpy(out, data + first * 4, static_cast<size_t>(count) * 4);
      return;
    case DType::kF16:
      for (int64_t i = 0; i < count; ++i) out[i] = f16_to_f32(load<uint16_t>(data, first + i));
      return;
    case DType::kBF16:
      for (int64_t i = 0; i < count; ++i) out[i] = bf16_to_f32(load<uint16_t>(data, first + i));
      return;
    case DType::kF8E4M3:
      return decode_small(f8_e4m3, 8, data, first, count, out);
    case DType::kF8E5M2:
      return decode_small(f8_e5m2, 8, data, first, count, out);
    case DType::kF8E4M3Fnuz:
      return decode_small(f8_e4m3fnuz, 8, data, first, count, out);
    case DType::kF8E5M2Fnuz:
      return decode_small(f8_e5m2fnuz, 8, data, first, count, out);
    case DType::kF8E8M0:
      return decode_small(f8_e8m0, 8, data, first, count, out);
    case DType::kF6E2M3:
      return decode_small(f6_e2m3, 6, data, first, count, out);
    case DType::kF6E3M2:
      return decode_small(f6_e3m2, 6, data, first, count, out);
    case DType::kF4:
      return decode_small(f4_e2m1, 4, data, first, count, out);
    case DType::kC64:
      break;
  }
  refuse("elements of dtype {} have no real value", info(dtype).name);
}

void encode_from_f32(DType dtype, const float* in, int64_t count, std::byte* out) {
  if (dtype == DType::kF32) {
    std::copy_n(reinterpret_cast<const std::byte*>(in), count * 4, out);
    return;
  }
  assert(dtype == DType::kF16 || dtype == DType::kBF16);
  const auto narrow = dtype == DType::kF16 ? f32_to_f16 : f32_to_bf16;
  for (int64_t i = 0; i < count; ++i) {
    const uint16_t value = narrow(in[i]);
    std::memcpy(out + i * 2, &value, 2);
  }
}

}  // namespace bitloom
