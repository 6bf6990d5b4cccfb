// The definition as plain loops.

#include <algorithm>
#include <cstdlib>

#include "kernels/trellis_search/trellis_search.h"

namespace bitloom {
namespace {

uint16_t sum(uint32_t a, uint32_t b) { return static_cast<uint16_t>(std::min(a + b, uint32_t{0xffff})); }

uint16_t cost_of(const TrellisStep& step, uint32_t s) {
  const auto h = static_cast<uint16_t>(step.hash * (s << (16 - step.state_bits)));
  const uint32_t g = (uint32_t{step.mix} * h) >> 16;
  const int16_t first = step.first[g % 64], second = step.second[(g >> 8) % 64];
  if (step.two_values) return sum(static_cast<uint16_t>(first), static_cast<uint16_t>(second));
  const int difference = std::clamp(first - second, -0x8000, 0x7fff);
  const auto u = static_cast<uint32_t>(std::min(std::abs(difference), int{step.most_difference})) << step.shift;
  return static_cast<uint16_t>(std::min((u * u) >> 16, uint32_t{step.most_cost}) << step.tag_bits);
}

}  // namespace

uint16_t trellis_search_portable(const TrellisStep& step, uint16_t least) {
  const uint32_t n = (1U << step.state_bits) >> step.next_k, tags = (1U << step.tag_bits) - 1;
  constexpr uint32_t kRun = 128;
  uint16_t least_of_next = 0xffff;
  for (uint32_t e = 0; e < n; e += kRun) {
    uint16_t best[kRun];
    std::fill_n(best, kRun, uint16_t{0xffff});
    for (uint32_t j = 0; j < 1U << step.next_k; ++j) {
      for (uint32_t i = 0; i < kRun; ++i) {
        const uint32_t s = j * n + e + i;
        const uint16_t cost = sum(step.best[s >> step.k] - uint32_t{least}, cost_of(step, s));
        best[i] = std::min(best[i], static_cast<uint16_t>((cost & ~tags) | j));
      }
    }
    for (uint32_t i = 0; i < kRun; ++i) {
      step.from[e + i] = static_cast<uint8_t>(best[i] & tags);
      step.next[e + i] = static_cast<uint16_t>(best[i] & ~tags);
      least_of_next = std::min(least_of_next, step.next[e + i]);
    }
  }
  return least_of_next;
}

}  // namespace bitloom
