#pragma once
// How codes of a bitstream come into 32-bit lanes: lane i takes the two bytes that hold code i, shifted so that the
// code is lowest; what lies above it is the next codes'. In an unnamed namespace: sources with flags of their own
// include it, whose copies a linker must not exchange.

#include <cstdint>

namespace bitloom {
namespace {

template <int kLanes>
struct alignas(4 * kLanes) BitLanes {
  int8_t places[4 * kLanes] = {};  // bytes of the stream for a byte shuffle; -1: 0
  int32_t shifts[kLanes] = {};

  /// Codes of `bits` bits, 1 to 8, from code `first` on, a multiple of 8.
  explicit constexpr BitLanes(int bits, int first = 0) {
    for (int i = 0; i < kLanes; ++i) {
      const int at = (first + i) * bits;
      for (int b = 0; b < 4; ++b) places[4 * i + b] = static_cast<int8_t>(b < 2 ? at / 8 + b : -1);
      shifts[i] = at % 8;
    }
  }
};

}  // namespace
}  // namespace bitloom
