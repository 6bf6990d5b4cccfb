// Every kernel against the definition, one state at a time: the same bits.

#include <gtest/gtest.h>

#include "kernels/trellis_search/test_step.h"

namespace bitloom {
namespace {

using testing::RandomStep;

struct Expected {
  std::vector<uint16_t> best, cost;
  std::vector<uint8_t> from;
  uint16_t least = 0xffff;
};

Expected expected_of(const TrellisStep& step) {
  Expected result;
  const uint32_t states = 1U << step.state_bits, n = states >> step.k, tag_unit = 1U << step.tag_bits;
  for (uint32_t e = 0; e < n; ++e) {
    uint32_t best = 0xffff / tag_unit, from = 0;
    for (uint32_t j = 0; j < 1U << step.k; ++j) {
      const uint32_t cost = step.cost[j * n + e] / tag_unit;
      if (j == 0 || cost < best) best = cost, from = j;
    }
    result.best.push_back(static_cast<uint16_t>(best * tag_unit));
    result.from.push_back(static_cast<uint8_t>(from));
    result.least = std::min(result.least, result.best.back());
  }
  for (uint32_t s = 0; s < states; ++s) {
    const uint32_t h = step.hash * (s << (16 - step.state_bits)) % 65536, g = step.mix * h / 65536;
    int64_t first = step.first[g % 64], second = step.second[g / 256 % 64], d = 0;
    if (step.two_values) {
      d = (first + 65536) % 65536 + (second + 65536) % 65536;
    } else {
      const int64_t difference = std::min(std::max(first - second, int64_t{-32768}), int64_t{32767});
      const int64_t u = std::min(std::abs(difference), int64_t{step.most_difference}) << step.shift;
      d = std::min(u * u / 65536, int64_t{step.most_cost}) * tag_unit;
    }
    const int64_t sum = std::min<int64_t>(result.best[s >> step.k] - result.least + std::min<int64_t>(d, 65535), 65535);
    result.cost.push_back(static_cast<uint16_t>(sum / tag_unit * tag_unit + (s >> (step.state_bits - step.next_k))));
  }
  return result;
}

TEST(TrellisSearch, EveryKernelEqualsTheDefinition) {
  uint32_t seed = 0;
  for (const TrellisSearchEntry& entry : trellis_search_kernels()) {
    if (!machine_has(entry.isa)) continue;
    for (const int state_bits : {12, 16}) {
      for (int k = 1; k <= 5; ++k) {
        for (const int next_k : {k, k == 5 ? 4 : k + 1}) {
          for (const bool two_values : {false, true}) {
            RandomStep random(state_bits, k, next_k, two_values, ++seed);
            const Expected expected = expected_of(random.step);
            const uint16_t least = entry.least(random.step);
            EXPECT_EQ(least, expected.least) << entry.name << " k " << k;
            EXPECT_EQ(random.best, expected.best) << entry.name << " k " << k;
            EXPECT_EQ(random.from, expected.from) << entry.name << " k " << k;
            entry.spread(random.step, least);
            EXPECT_EQ(random.cost, expected.cost) << entry.name << " k " << k << " two " << two_values;
          }
        }
      }
    }
  }
}

TEST(TrellisSearch, FindsTheBestAllowed) {
  EXPECT_STREQ(find_trellis_search(Isa::kPortable).name, "trellis_search_portable");
  for (const Isa isa : every_isa()) EXPECT_LE(find_trellis_search(isa).isa, isa);
}

}  // namespace
}  // namespace bitloom
