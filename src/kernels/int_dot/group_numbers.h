#pragma once
// Scales and zero points one at a time, for sources without flags of their own.

#include <cmath>

#include "base/memory/dtype.h"
#include "kernels/int_dot/int_dot.h"
#include "packing/bitstream.h"

namespace bitloom {

/// What a group has, as fp32.
struct GroupNumbers {
  float scale, zero;
};

/// Number g of a row of scales or zero points; `second`: the two numbers that make it of a code. Fused, as vector
/// kernels are.
inline float number_at(const IntRows& w, const std::byte* numbers, const std::byte* second, int64_t g) {
  constexpr DType kTypes[] = {DType::kF32, DType::kF16, DType::kBF16, DType::kF8E8M0, DType::kF8E4M3};
  float values[2] = {};
  if (w.scale_kind != ScaleKind::kSecond) {
    decode_to_f32(kTypes[static_cast<int>(w.scale_kind)], numbers, g, 1, values);
    return values[0];
  }
  uint8_t code = 0;
  unpack_bits(numbers, g, 1, w.second.bits, &code);
  decode_to_f32(DType::kF16, second, 0, 2, values);
  return std::fma(values[1], static_cast<float>(code), values[0]);
}

/// Of group g of the rows that share their scales with row `shared` of them; zero points of `bits`.
inline GroupNumbers group_numbers(const IntRows& w, int bits, int64_t shared, int64_t g) {
  const std::byte* second =
      w.second.bits == 0 ? nullptr : w.second.numbers + shared / w.second.rows * w.second.row_bytes + 8 * g;
  const float scale = number_at(w, w.scales + shared * w.scale_row_bytes, second, g);
  if (w.zeros == nullptr) return {scale, 0};
  const std::byte* zeros = w.zeros + shared * w.zero_row_bytes;
  if (w.real_zeros) return {scale, number_at(w, zeros, second == nullptr ? nullptr : second + 4, g)};
  uint8_t code = 0;
  unpack_bits(zeros, g, 1, bits, &code);
  return {scale, static_cast<float>(code)};
}

}  // namespace bitloom
