// Every kernel of the list that this machine can run against the definition, in double precision.

#include <gtest/gtest.h>

#include <cmath>

#include "kernels/sparse_dot/test_dot.h"

namespace bitloom {
namespace {

using testing::RandomSparseDot;

TEST(SparseDot, EveryKernelAddsTheDefinition) {
  for (const SparseDotEntry& entry : sparse_dot_kernels()) {
    if (!machine_has(entry.isa)) continue;
    RandomSparseDot dot(70, 300, 41, 2, 1);
    const testing::GuardedVector<float> before = dot.y;
    dot.call.first = 3, dot.call.last = 67;
    entry.kernel(dot.call);
    for (int64_t t = 0; t < 2; ++t) {
      for (int64_t r = 0; r < 70; ++r) {
        const auto at = static_cast<size_t>(t * 70 + r);
        double want = before[at], size = std::abs(want);
        for (size_t e = dot.starts[static_cast<size_t>(r)];
             e < dot.starts[static_cast<size_t>(r) + 1] && r >= 3 && r < 67; ++e) {
          const double term =
              static_cast<double>(f16_to_f32(dot.values[e])) * dot.x[static_cast<size_t>(t * 300) + dot.columns[e]];
          want += term, size += std::abs(term);
        }
        EXPECT_NEAR(dot.y[at], want, 42 * 0x1p-24 * size) << entry.name << " row " << r;
      }
    }
  }
}

}  // namespace
}  // namespace bitloom
