// The definition as plain loops, over rows of costs so that a compiler can use the vectors that it is allowed.

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

uint16_t trellis_least_portable(const TrellisStep& step) {
  const uint32_t n = (1U << step.state_bits) >> step.k;
  const auto tags = static_cast<uint16_t>((1U << step.tag_bits) - 1);
  constexpr uint32_t kRun = 256;
  uint16_t least = 0xffff;
  for (uint32_t e = 0; e < n; e += kRun) {
    const uint32_t run = std::min(kRun, n - e);
    uint16_t best[kRun];
    std::copy(step.cost + e, step.cost + e + run, best);
    for (uint32_t j = 1; j < 1U << step.k; ++j) {
      const uint16_t* row = step.cost + j * n + e;
      for (uint32_t i = 0; i < run; ++i) best[i] = row[i] < best[i] ? row[i] : best[i];
    }
    for (uint32_t i = 0; i < run; ++i) {
      step.from[e + i] = static_cast<uint8_t>(best[i] & tags);
      best[i] = static_cast<uint16_t>(best[i] & ~tags);
      step.best[e + i] = best[i];
      least = best[i] < least ? best[i] : least;
    }
  }
  return least;
}

void trellis_spread_portable(const TrellisStep& step, uint16_t least) {
  const uint32_t states = 1U << step.state_bits;
  const uint32_t tags = (1U << step.tag_bits) - 1;
  const int tag_shift = step.state_bits - step.next_k;
  for (uint32_t s = 0; s < states; ++s) {
    const uint32_t best = step.best[s >> step.k] - uint32_t{least};
    step.cost[s] = static_cast<uint16_t>((sum(best, cost_of(step, s)) & ~tags) | s >> tag_shift);
  }
}

}  // namespace bitloom
