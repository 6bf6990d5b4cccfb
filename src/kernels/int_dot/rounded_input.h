#pragma once
// A vector as integers under scales: what integer kernels read.

#include <cstdint>

namespace bitloom {

enum class DotInput { kF32, kInt8, kInt24 };

/// Columns that share a scale of a rounded input.
inline constexpr int64_t kInputBlock = 32;
/// Rounded inputs are padded with zeros to a multiple of this.
inline constexpr int64_t kInputPadding = 256;
/// The value that the largest of a block gets: in 24 bits 127 in the highest digit and room for carries.
inline constexpr int32_t kGreatestInt8 = 127, kGreatestInt24 = 127 << 16;

/// Where column c lies in a plane. kNatural: at c. kNibbles: by 128 columns the even ones, then the odd ones, as
/// nibbles lie in bytes. kSixteens: by 256 columns the first four of every 16, then the second four of every 16, and so
/// on. kStrides: by 256 columns the first, fifth, ninth and thirteenth of every 16, then those after them, and so on.
enum class InputOrder { kNatural, kNibbles, kSixteens, kStrides };
inline constexpr int kInputOrders = 4;

/// Consecutive columns whose products meet in a lane of 32 bits.
constexpr int64_t lane_columns(InputOrder order) {
  return order == InputOrder::kNatural ? 4 : order == InputOrder::kNibbles ? 8 : 16;
}

/// x[t, c] = scale(t, c) q(t, c), q in 8 bits one digit, in 24 bits 2^16 high + 2^8 middle + low, digits in -128..127.
struct RoundedInput {
  const int8_t* digits = nullptr;      // [tokens, planes, stride]: high (middle, low)
  const float* scales = nullptr;       // [tokens, stride / lane]: of every lane
  const int32_t* high_sums = nullptr;  // [tokens, stride / lane]: sums of the high digits
  const int32_t* rest_sums = nullptr;  // the same of 2^8 middle + low; 24 bits only
  int64_t stride = 0;                  // cols rounded up to kInputPadding
};

}  // namespace bitloom
