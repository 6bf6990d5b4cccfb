#pragma once
// For tests and benchmarks: a step with random costs and tables.

#include <algorithm>
#include <random>

#include "kernels/guarded.h"
#include "kernels/trellis_search/trellis_search.h"

namespace bitloom::testing {

struct RandomStep {
  GuardedVector<uint16_t> best, next;
  GuardedVector<uint8_t> from;
  GuardedVector<int16_t> first, second;
  TrellisStep step;
  uint16_t least = 0xffff;

  RandomStep(int state_bits, int k, int next_k, bool two_values, uint32_t seed)
      : best((size_t{1} << state_bits >> k) + kTrellisBeyond),
        next(size_t{1} << state_bits >> next_k),
        from(next.size()),
        first(64),
        second(64) {
    std::mt19937 random(seed);
    step = {.state_bits = state_bits,
            .k = k,
            .next_k = next_k,
            .tag_bits = k > next_k ? k : next_k,
            .hash = 0x1c3f,
            .mix = 0xbce9,
            .two_values = two_values,
            .first = first.data(),
            .second = second.data(),
            .most_difference = static_cast<uint16_t>(0xffff >> 3),
            .shift = 3,
            .best = best.data(),
            .next = next.data(),
            .from = from.data()};
    step.most_cost = static_cast<uint16_t>(0xffff >> step.tag_bits);
    // One entry in eight is out of reach, and many costs are equal.
    for (size_t e = 0; e < size_t{1} << state_bits >> k; ++e) {
      const uint32_t value = random() % 8 == 0 ? 0xffff >> step.tag_bits : 16 + random() % 2000;
      best[e] = static_cast<uint16_t>(value << step.tag_bits);
      least = std::min(least, best[e]);
    }
    for (size_t i = 0; i < 64; ++i) {
      first[i] = two_values ? static_cast<int16_t>(random() << step.tag_bits) : static_cast<int16_t>(random());
      second[i] = two_values ? static_cast<int16_t>(random() % 512 << step.tag_bits)
                             : static_cast<int16_t>(static_cast<int>(random() % 16000) - 8000);
    }
  }
};

}  // namespace bitloom::testing
