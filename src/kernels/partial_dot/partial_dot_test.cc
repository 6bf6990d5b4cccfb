// Every kernel of the list that this machine can run against the definition, in double precision.

#include <gtest/gtest.h>

#include <cmath>
#include <utility>

#include "kernels/dot_test.h"
#include "kernels/partial_dot/test_dot.h"

namespace bitloom {
namespace {

using testing::RandomPartialDot;

TEST(PartialDot, EveryKernelEqualsTheDefinition) {
  for (const PartialDotEntry& entry : partial_dot_kernels()) {
    if (!machine_has(entry.isa)) continue;
    for (const int64_t cols : {1, 8, 100, 257}) {
      const RandomPartialDot dot(9, cols, 2, static_cast<uint32_t>(cols));
      entry.kernel(dot.call);
      for (int64_t i = 0; i < 2 * 9; ++i) {
        const int64_t r = i % 9;
        const PartialScales& s = dot.scales[static_cast<size_t>(r)];
        double want = 0, size = 0;
        for (int64_t c = 0; c < cols; ++c) {
          const auto at = static_cast<size_t>(r * cols + c);
          const double sign = dot.codes[at] != 0 ? s.alpha : -s.alpha;
          const double value = dot.mask[at] != 0 ? s.low + s.step * dot.codes[at] : s.mu + sign;
          const double input = dot.x[static_cast<size_t>(i / 9 * cols + c)];
          want += value * input,
              size += (std::abs(s.mu) + 2 * s.alpha + std::abs(s.low) + s.step * 255) * std::abs(input);
        }
        // fp32 sums of n products, of at most this size, in any order.
        EXPECT_NEAR(dot.y[static_cast<size_t>(i)], want, static_cast<double>(cols + 8) * 0x1p-24 * size)
            << entry.name << " cols " << cols;
      }
    }
  }
}

TEST(PartialDot, RowsStandAlone) {
  for (const PartialDotEntry& entry : partial_dot_kernels()) {
    if (!machine_has(entry.isa)) continue;
    RandomPartialDot whole(11, 100, 2, 3), parts(11, 100, 2, 3);
    testing::expect_parts_stand_alone(entry, whole, parts, {{0, 1}, {1, 7}, {7, 11}});
  }
}

}  // namespace
}  // namespace bitloom
