#pragma once
// For tests and benchmarks: a step with random costs and tables.

#include <random>
#include <vector>

#include "kernels/trellis_search/trellis_search.h"

namespace bitloom::testing {

struct RandomStep {
  std::vector<uint16_t> cost, best;
  std::vector<uint8_t> from;
  std::vector<int16_t> first, second;
  TrellisStep step;

  RandomStep(int state_bits, int k, int next_k, bool two_values, uint32_t seed)
      : cost(size_t{1} << state_bits), best(cost.size() >> k), from(best.size()), first(64), second(64) {
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
            .cost = cost.data(),
            .best = best.data(),
            .from = from.data()};
    step.most_cost = static_cast<uint16_t>(0xffff >> step.tag_bits);
    const auto tags = (1U << step.tag_bits) - 1;
    for (size_t s = 0; s < cost.size(); ++s) {
      const auto tag = static_cast<uint32_t>(s >> (state_bits - k));
      // One state in eight is out of reach, and many costs are equal.
      const uint32_t value = random() % 8 == 0 ? 0xffff : random() % 4096 << step.tag_bits;
      cost[s] = static_cast<uint16_t>((value & 0xffff & ~tags) | tag);
    }
    for (size_t i = 0; i < 64; ++i) {
      first[i] = two_values ? static_cast<int16_t>(random() << step.tag_bits) : static_cast<int16_t>(random());
      second[i] = two_values ? static_cast<int16_t>(random() % 512 << step.tag_bits)
                             : static_cast<int16_t>(static_cast<int>(random() % 16000) - 8000);
    }
  }
};

}  // namespace bitloom::testing
