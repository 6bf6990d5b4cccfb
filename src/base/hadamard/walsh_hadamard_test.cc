#include "base/hadamard/walsh_hadamard.h"

#include <gtest/gtest.h>

#include <vector>

#include "base/rng.h"

namespace bitloom {
namespace {

/// Row a of H times x [order], `stride` apart. Sylvester: entry (a, b) is -1 to the number of bits that a and b share.
template <typename Real>
Real sylvesters_sum(const Real* x, int64_t order, int64_t stride, int64_t a) {
  Real sum = 0;
  for (int64_t b = 0; b < order; ++b) {
    const Real value = x[b * stride];
    sum += __builtin_popcountll(static_cast<uint64_t>(a & b)) % 2 == 0 ? value : -value;
  }
  return sum;
}

// The numbers are integers, so sums are exact.
template <typename Real>
void expect_sylvesters(int64_t order, int64_t width) {
  std::vector<Real> x(static_cast<size_t>(order * width));
  for (size_t i = 0; i < x.size(); ++i) x[i] = static_cast<Real>(i * i % 23);
  std::vector<Real> fast = x;
  walsh_hadamard(fast.data(), order, width);
  for (int64_t a = 0; a < order; ++a) {
    for (int64_t i = 0; i < width; ++i) {
      ASSERT_EQ(fast[static_cast<size_t>(a * width + i)], sylvesters_sum(x.data() + i, order, width, a))
          << order << " " << width << ": " << a << " " << i;
    }
  }
}

TEST(WalshHadamard, FastTransformIsSylvesters) {
  for (const int64_t order : {1, 2, 16, 32, 64, 128, 256, 512}) {
    for (const int64_t width : {1, 3, 40}) {
      if (order * width > 4096) continue;
      expect_sylvesters<double>(order, width);
      expect_sylvesters<float>(order, width);
    }
  }
}

// The forms that wider machines have in their place, too. At any address.
TEST(WalshHadamard, EveryFormOfVectorsIsSylvesters) {
  ASSERT_EQ(vector_hadamards().front().lanes, 4);
  for (const VectorHadamard& form : vector_hadamards()) {
    for (const int64_t order : {64, 128, 256, 512, 1024, 2048}) {
      std::vector<float> x(static_cast<size_t>(order + 1));
      for (size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(i * i % 23);
      std::vector<float> fast = x;
      form.apply(fast.data() + 1, order);
      EXPECT_EQ(fast[0], x[0]);
      for (int64_t a = 0; a < order; ++a) {
        ASSERT_EQ(fast[static_cast<size_t>(1 + a)], sylvesters_sum(x.data() + 1, order, 1, a))
            << form.lanes << " lanes, order " << order << ": " << a;
      }
    }
  }
}

// Whatever is rounded: the forms make the same sums.
TEST(WalshHadamard, FormsOfVectorsHaveTheSameBits) {
  Rng rng(2, 3);
  for (const int64_t order : {64, 128, 256, 512, 1024, 2048}) {
    std::vector<float> x(static_cast<size_t>(order));
    for (float& value : x) value = static_cast<float>(rng.normal());
    std::vector<float> expected = x;
    walsh_hadamard(expected.data(), order, 1);
    for (const VectorHadamard& form : vector_hadamards()) {
      std::vector<float> fast = x;
      form.apply(fast.data(), order);
      EXPECT_EQ(fast, expected) << form.lanes << " lanes, order " << order;
    }
  }
}

// A row of a matrix and a vector take different loops, of the same sums. At any address.
TEST(WalshHadamard, VectorsHaveTheBitsOfRows) {
  Rng rng(1, 2);
  for (const int64_t order : {32, 64, 128, 256, 512, 1024, 2048}) {
    std::vector<float> x(static_cast<size_t>(order + 1)), rows(static_cast<size_t>(2 * order));
    for (float& value : x) value = static_cast<float>(rng.normal());
    for (size_t i = 0; i < rows.size(); ++i) rows[i] = i % 2 == 0 ? x[1 + i / 2] : 0;
    walsh_hadamard(x.data() + 1, order, 1);
    walsh_hadamard(rows.data(), order, 2);
    for (size_t i = 0; i < static_cast<size_t>(order); ++i) ASSERT_EQ(x[1 + i], rows[2 * i]) << order << ": " << i;
  }
}

}  // namespace
}  // namespace bitloom
