#include "kernels/e8p_dot/e8p_dot.h"

#include <bit>

#include "kernels/kernel_list.h"

namespace bitloom {

#define BITLOOM_E8P_DOT(function, isa) E8pDotKernel function;
#include "kernels/e8p_dot/kernels.inc"
#undef BITLOOM_E8P_DOT

std::span<const E8pDotEntry> e8p_dot_kernels() {
#define BITLOOM_E8P_DOT(function, isa) {#function, function, Isa::isa},
  static constexpr E8pDotEntry kEntries[] = {
#include "kernels/e8p_dot/kernels.inc"
  };
#undef BITLOOM_E8P_DOT
  return kEntries;
}

const E8pDotEntry& find_e8p_dot(Isa isa) { return first_kernel(e8p_dot_kernels(), isa); }

int64_t e8p_dot_scratch(const E8pRows& w) {
  constexpr int64_t kRun = 512, kRunBytes = 1792;  // three digits of 512 columns and of 64 means, a scale, three sums
  return kE8pTokens * ((w.cols + kRun - 1) / kRun) * kRunBytes;
}

[[gnu::cold]] E8pTables::E8pTables(const int8_t (*halves)[kE8pPoint]) {
  for (size_t v = 0; v < 256; ++v) {
    int sum = 0;
    for (size_t i = 0; i < kE8pPoint; ++i) sum += halves[v][i];
    fields[0][v] = fields[1][v] = 0;
    for (size_t i = 0; i < kE8pPoint; ++i) {
      const bool negative = i == kE8pPoint - 1 && sum % 4 != 0;
      vectors[v][i] = static_cast<int8_t>(negative ? -2 * halves[v][i] : 2 * halves[v][i]);
      fields[i / 4][v] = static_cast<uint8_t>(fields[i / 4][v] | (halves[v][i] - 1) / 2 << (2 * (i % 4)));
    }
  }
  for (uint32_t s = 0; s < 256; ++s) {
    const uint32_t others = s & 127, all = others | (static_cast<uint32_t>(std::popcount(others)) & 1) << 7;
    const int size = kE8pOffset + (s > 127 ? 1 : -1);
    for (uint32_t i = 0; i < kE8pPoint; ++i) signs[s][i] = static_cast<int8_t>((all >> i & 1) != 0 ? -size : size);
  }
}

}  // namespace bitloom
