#pragma once
// Tile trellis codes T6V2 and T6V1: what 256 weights of a tile are, given its bits (papers' beyond page, section 2.1).
//
// Step t = 0 .. 256/V - 1 takes k_t fresh bits and emits V values. With P_t = k_0 + ... + k_t, B = P of the last step
// and bits b_0 .. b_(B-1), the most significant of word 0 first, its state is the window of 16 bits that ends at P_t,
// around the tile's end:
//
//   s_t = sum_(i < 16) b_[(P_t - 16 + i) mod B] 2^(15 - i)
//   h = 0x1c3f s mod 2^16,  g = floor(0xbce9 h / 2^16),  i0 = g mod 64,  i1 = floor(g / 256) mod 64
//   T6V2: values A[i0], A[i1];  T6V1: the one value A[i0] + A[i1]
//
// Nothing else is stored of a tile: B / 256 bits a weight. This page is the definition; encoders and kernels are held
// to it.

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

namespace bitloom {

inline constexpr int kTrellisTileSide = 16;  // rows, and columns, of a tile
inline constexpr int kTrellisTile = kTrellisTileSide * kTrellisTileSide;
inline constexpr uint16_t kTrellisHash = 0x1c3f, kTrellisMix = 0xbce9;

/// A[0 .. 63], odd-symmetric: A[63 - i] = -A[i]; normal quantiles.
extern const std::array<int8_t, 64> kTrellisTable;

struct TrellisCode {
  int values = 2;       // V, of a step: 1 or 2
  int half_bits = 4;    // bits a weight, doubled: 2 to 10; 8 at most where V is 2
  int state_bits = 16;  // or 12: a code of its own, whose states are the windows' last 12 bits, shifted left by 4

  int steps() const { return kTrellisTile / values; }
  /// k_t: of T6V1 with a broken rate, the smaller in even steps.
  int fresh_bits(int step) const { return values == 2 ? half_bits : (half_bits + step % 2) / 2; }
  /// 16-bit words of a tile.
  int words() const { return kTrellisTile * half_bits / 32; }
  /// Table units in which a source of variance 1 is coded with the least error. (Above 4 bits by measurement: at 5,
  /// 71.4 gives .00125, 66 and 60 .00119.)
  double units() const {
    if (values == 2) return half_bits <= 5 ? 52.0 : 46.4;
    return half_bits <= 8 ? 71.4 : 64.0;
  }
  bool operator==(const TrellisCode&) const = default;
};

/// A window of bits as the hash takes it.
constexpr uint16_t trellis_state(const TrellisCode& code, uint32_t window) {
  return static_cast<uint16_t>(code.state_bits == 16 ? window : window << 4);
}

/// The indices i0 and i1 of a state.
struct TrellisIndices {
  int first, second;
};
constexpr TrellisIndices trellis_indices(uint16_t state) {
  const auto h = static_cast<uint16_t>(kTrellisHash * state);
  const uint32_t g = (uint32_t{kTrellisMix} * h) >> 16;
  return {static_cast<int>(g % 64), static_cast<int>((g >> 8) % 64)};
}

/// out [256]: the values in the order of steps. Word e of the tile is words[e * stride].
void decode_trellis_tile(const TrellisCode& code, const uint16_t* words, int64_t stride, int16_t* out);

/// Where the values lie in the tile of 16 x 16: value i of decode_trellis_tile is at row, column. A step goes down the
/// rows of one column, or of two neighbours.
struct TrellisPlace {
  int row, col;
};
constexpr TrellisPlace trellis_place(const TrellisCode& code, int i) {
  const int step = i / code.values;
  return {step % kTrellisTileSide, step / kTrellisTileSide * code.values + i % code.values};
}

}  // namespace bitloom
