// Every kernel against the definition, one state at a time: the same bits.

#include <gtest/gtest.h>

#include "kernels/trellis_search/test_step.h"

namespace bitloom {
namespace {

using testing::RandomStep;

struct Expected {
  testing::GuardedVector<uint16_t> next;
  testing::GuardedVector<uint8_t> from;
  uint16_t least = 0xffff;
};

int64_t cost_of(const TrellisStep& step, uint32_t s) {
  const uint32_t h = step.hash * (s << (16 - step.state_bits)) % 65536, g = step.mix * h / 65536;
  const int64_t first = step.first[g % 64], second = step.second[g / 256 % 64];
  if (step.two_values) return std::min<int64_t>((first + 65536) % 65536 + (second + 65536) % 65536, 65535);
  const int64_t difference = std::min(std::max(first - second, int64_t{-32768}), int64_t{32767});
  const int64_t u = std::min(std::abs(difference), int64_t{step.most_difference}) << step.shift;
  return std::min(u * u / 65536, int64_t{step.most_cost}) << step.tag_bits;
}

Expected expected_of(const TrellisStep& step, uint16_t least) {
  Expected result;
  const uint32_t n = (1U << step.state_bits) >> step.next_k, tag_unit = 1U << step.tag_bits;
  for (uint32_t e = 0; e < n; ++e) {
    int64_t best = 65536;
    uint32_t from = 0;
    for (uint32_t j = 0; j < 1U << step.next_k; ++j) {
      const uint32_t s = j * n + e;
      const int64_t cost = std::min<int64_t>(step.best[s >> step.k] - least + cost_of(step, s), 65535) / tag_unit;
      if (cost < best) best = cost, from = j;
    }
    result.next.push_back(static_cast<uint16_t>(best * tag_unit));
    result.from.push_back(static_cast<uint8_t>(from));
    result.least = std::min(result.least, result.next.back());
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
            const Expected expected = expected_of(random.step, random.least);
            EXPECT_EQ(entry.kernel(random.step, random.least), expected.least) << entry.name << " k " << k;
            EXPECT_EQ(random.next, expected.next) << entry.name << " k " << k << " two " << two_values;
            EXPECT_EQ(random.from, expected.from) << entry.name << " k " << k << " two " << two_values;
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
