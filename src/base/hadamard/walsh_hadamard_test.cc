#include "base/hadamard/walsh_hadamard.h"

#include <gtest/gtest.h>

#include <vector>

namespace bitloom {
namespace {

// Sylvester: entry (a, b) is -1 to the number of bits that a and b share. The numbers are integers, so sums are exact.
template <typename Real>
void expect_sylvesters(int64_t order, int64_t width) {
  std::vector<Real> x(static_cast<size_t>(order * width));
  for (size_t i = 0; i < x.size(); ++i) x[i] = static_cast<Real>(i * i % 23);
  std::vector<Real> fast = x;
  walsh_hadamard(fast.data(), order, width);
  for (int64_t a = 0; a < order; ++a) {
    for (int64_t i = 0; i < width; ++i) {
      Real sum = 0;
      for (int64_t b = 0; b < order; ++b) {
        const Real value = x[static_cast<size_t>(b * width + i)];
        sum += __builtin_popcountll(static_cast<uint64_t>(a & b)) % 2 == 0 ? value : -value;
      }
      ASSERT_EQ(fast[static_cast<size_t>(a * width + i)], sum) << order << " " << width << ": " << a << " " << i;
    }
  }
}

TEST(WalshHadamard, FastTransformIsSylvesters) {
  for (const int64_t order : {1, 2, 16, 64}) {
    for (const int64_t width : {1, 3, 40}) {
      expect_sylvesters<double>(order, width);
      expect_sylvesters<float>(order, width);
    }
  }
}

}  // namespace
}  // namespace bitloom
