#include "format/families/trellis/trellis_code.h"

namespace bitloom {
namespace {

constexpr std::array<int8_t, 32> kUpperHalf = {1,  3,  5,  7,  9,  11, 14, 16, 18, 20, 22, 25, 27, 29, 32,  34,
                                               37, 39, 42, 45, 48, 51, 55, 58, 62, 67, 72, 77, 84, 93, 104, 127};

constexpr std::array<int8_t, 64> whole_table() {
  std::array<int8_t, 64> table{};
  for (size_t i = 0; i < 32; ++i) {
    table[32 + i] = kUpperHalf[i];
    table[31 - i] = static_cast<int8_t>(-kUpperHalf[i]);
  }
  return table;
}

}  // namespace

constinit const std::array<int8_t, 64> kTrellisTable = whole_table();

void decode_trellis_tile(const TrellisCode& code, const uint16_t* words, int64_t stride, int16_t* out) {
  const int bits = kTrellisTile * code.half_bits / 2;
  const uint32_t mask = (1U << code.state_bits) - 1;
  const auto word = [&](int e) { return uint32_t{words[e % code.words() * stride]}; };
  int end = 0;  // P_t
  for (int t = 0; t < code.steps(); ++t) {
    end += code.fresh_bits(t);
    const int start = (end - 16 + bits) % bits;
    const uint32_t window = ((word(start / 16) << 16 | word(start / 16 + 1)) >> (16 - start % 16)) & mask;
    const TrellisIndices at = trellis_indices(trellis_state(code, window));
    const auto a = int16_t{kTrellisTable[static_cast<size_t>(at.first)]};
    const auto b = int16_t{kTrellisTable[static_cast<size_t>(at.second)]};
    if (code.values == 2) {
      *out++ = a, *out++ = b;
    } else {
      *out++ = static_cast<int16_t>(a + b);
    }
  }
}

}  // namespace bitloom
