#include "linalg/leading_vectors.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "base/rng.h"

namespace bitloom {
namespace {

std::vector<float> random_matrix(int64_t rows, int64_t cols, uint64_t seed) {
  Rng rng(seed, 0);
  std::vector<float> values(static_cast<size_t>(rows * cols));
  for (float& value : values) value = static_cast<float>(rng.normal());
  return values;
}

double dot(const float* a, const float* b, int64_t n) {
  double sum = 0;
  for (int64_t i = 0; i < n; ++i) sum += static_cast<double>(a[i]) * static_cast<double>(b[i]);
  return sum;
}

TEST(JacobiEigenvectors, DiagonalizeTheMatrix) {
  constexpr int64_t kN = 17;
  const std::vector<float> b = random_matrix(kN, kN, 1);
  std::vector<double> a(kN * kN);
  for (int64_t i = 0; i < kN; ++i) {
    for (int64_t j = 0; j < kN; ++j) a[static_cast<size_t>(i * kN + j)] = dot(b.data() + i * kN, b.data() + j * kN, kN);
  }
  std::vector<double> d = a;
  const std::vector<double> v = jacobi_eigenvectors(d.data(), kN);
  for (int64_t i = 0; i < kN; ++i) {  // A v_i = d_i v_i
    for (int64_t r = 0; r < kN; ++r) {
      double sum = 0;
      for (int64_t c = 0; c < kN; ++c) sum += a[static_cast<size_t>(r * kN + c)] * v[static_cast<size_t>(i * kN + c)];
      EXPECT_NEAR(sum, d[static_cast<size_t>(i * kN + i)] * v[static_cast<size_t>(i * kN + r)], 1e-11);
    }
  }
}

/// E = sum of s_i u_i v_i^T of orthonormal vectors, s_i = 2^-i.
struct Known {
  static constexpr int64_t kRows = 300, kCols = 70, kCount = 20;
  Known() {
    ThreadPool threads(2);
    const std::vector<float> left = random_matrix(kCount, kRows, 2), right = random_matrix(kCount, kCols, 3);
    // Of a matrix of full rank they are some orthonormal basis of its rows.
    const auto basis = [&](const std::vector<float>& m, int64_t n) {
      std::vector<float> transposed(m.size());
      for (int64_t i = 0; i < kCount; ++i) {
        for (int64_t c = 0; c < n; ++c) {
          transposed[static_cast<size_t>(c * kCount + i)] = m[static_cast<size_t>(i * n + c)];
        }
      }
      return leading_vectors(transposed.data(), n, kCount, nullptr, kCount, threads).vectors;
    };
    u = basis(left, kRows);
    const std::vector<float> v = basis(right, kCols);
    e.resize(kRows * kCols);
    for (int64_t i = 0; i < kCount; ++i) {
      for (int64_t r = 0; r < kRows; ++r) {
        for (int64_t c = 0; c < kCols; ++c) {
          e[static_cast<size_t>(r * kCols + c)] += std::ldexp(
              u[static_cast<size_t>(i * kRows + r)] * v[static_cast<size_t>(i * kCols + c)], -static_cast<int>(i));
        }
      }
    }
  }
  std::vector<float> e, u;
};

TEST(LeadingVectors, OfKnownSingularValues) {
  ThreadPool threads(2), one(1);
  const Known known;
  const LeadingVectors found = leading_vectors(known.e.data(), Known::kRows, Known::kCols, nullptr, 8, threads);
  ASSERT_EQ(found.values.size(), 8u);
  for (int64_t i = 0; i < 8; ++i) {
    const double expected = std::ldexp(1.0, -2 * static_cast<int>(i));
    EXPECT_NEAR(found.values[static_cast<size_t>(i)], expected, 1e-5 * expected);
    const float* vector = found.vectors.data() + i * Known::kRows;
    for (int64_t j = 0; j <= i; ++j) {
      EXPECT_NEAR(dot(vector, found.vectors.data() + j * Known::kRows, Known::kRows), i == j ? 1 : 0, 1e-5);
    }
    EXPECT_NEAR(std::abs(dot(vector, known.u.data() + i * Known::kRows, Known::kRows)), 1, 1e-4);
  }
  EXPECT_EQ(found.vectors, leading_vectors(known.e.data(), Known::kRows, Known::kCols, nullptr, 8, one).vectors);
}

// E H E^T, H = C C^T: those of E C.
TEST(LeadingVectors, WeighedAreThoseOfTheProduct) {
  ThreadPool threads(2);
  constexpr int64_t kRows = 40, kCols = 24;
  const std::vector<float> e = random_matrix(kRows, kCols, 4), c = random_matrix(kCols, kCols, 5);
  std::vector<float> h(kCols * kCols), ec(kRows * kCols);
  for (int64_t i = 0; i < kCols; ++i) {
    for (int64_t j = 0; j < kCols; ++j) {
      h[static_cast<size_t>(i * kCols + j)] =
          static_cast<float>(dot(c.data() + i * kCols, c.data() + j * kCols, kCols));
    }
  }
  for (int64_t r = 0; r < kRows; ++r) {
    for (int64_t j = 0; j < kCols; ++j) {
      double sum = 0;
      for (int64_t k = 0; k < kCols; ++k) {
        sum += static_cast<double>(e[static_cast<size_t>(r * kCols + k)]) * c[static_cast<size_t>(k * kCols + j)];
      }
      ec[static_cast<size_t>(r * kCols + j)] = static_cast<float>(sum);
    }
  }
  const LeadingVectors weighed = leading_vectors(e.data(), kRows, kCols, h.data(), 5, threads);
  const LeadingVectors product = leading_vectors(ec.data(), kRows, kCols, nullptr, 5, threads);
  for (int64_t i = 0; i < 5; ++i) {
    EXPECT_NEAR(weighed.values[static_cast<size_t>(i)], product.values[static_cast<size_t>(i)],
                1e-4 * product.values[0]);
    EXPECT_GT(std::abs(dot(weighed.vectors.data() + i * kRows, product.vectors.data() + i * kRows, kRows)), 0.999);
  }
}

TEST(LeadingVectors, OfNothingAreNothing) {
  ThreadPool threads(2);
  const LeadingVectors none = leading_vectors(std::vector<float>(12).data(), 3, 4, nullptr, 2, threads);
  EXPECT_EQ(none.values, std::vector<double>(2));
}

}  // namespace
}  // namespace bitloom
