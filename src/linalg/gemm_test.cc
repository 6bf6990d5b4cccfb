#include "linalg/gemm.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "base/memory/dense_matrix.h"
#include "base/rng.h"
#include "linalg/blocked_gemm.h"

namespace bitloom {
namespace {

std::vector<float> random_matrix(int64_t size, uint64_t stream) {
  Rng rng(3, stream);
  std::vector<float> values(static_cast<size_t>(size));
  for (float& value : values) value = static_cast<float>(rng.normal());
  return values;
}

/// Reference: double accumulation. A fp32 sum of k products in any order differs from it by at most
/// (k + 1) eps sum |x w| (Higham, Accuracy and Stability, 3.1), doubled here for the added bias.
void expect_linear(const std::vector<float>& x, int64_t x_stride, int64_t tokens, const std::vector<float>& w,
                   int64_t rows, int64_t cols, const float* bias, const std::vector<float>& y, int64_t y_stride) {
  constexpr double kEps = std::numeric_limits<float>::epsilon() / 2;
  for (int64_t t = 0; t < tokens; ++t) {
    for (int64_t r = 0; r < rows; ++r) {
      double sum = bias ? bias[r] : 0, magnitude = std::abs(sum);
      for (int64_t c = 0; c < cols; ++c) {
        const double term = static_cast<double>(x[static_cast<size_t>(t * x_stride + c)]) *
                            static_cast<double>(w[static_cast<size_t>(r * cols + c)]);
        sum += term, magnitude += std::abs(term);
      }
      ASSERT_NEAR(y[static_cast<size_t>(t * y_stride + r)], sum, 2 * static_cast<double>(cols + 1) * kEps * magnitude)
          << "token " << t << " row " << r;
    }
  }
}

TEST(Linear, EqualsTheReferenceForOddShapesStridesAndBias) {
  ThreadPool threads(2);
  TileScratch scratch;  // one for all, as a decoder has
  const struct {
    int64_t tokens, rows, cols;
  } shapes[] = {{1, 1, 1}, {1, 130, 33}, {7, 64, 5}, {65, 200, 97}, {1030, 70, 16}};
  for (const auto& shape : shapes) {
    const int64_t x_stride = shape.cols + 3, y_stride = shape.rows + 2;
    const auto x = random_matrix(shape.tokens * x_stride, 1), w = random_matrix(shape.rows * shape.cols, 2);
    const auto bias = random_matrix(shape.rows, 3);
    const DenseMatrix source(shape.rows, shape.cols, w);
    for (const float* b : {static_cast<const float*>(nullptr), bias.data()}) {
      std::vector<float> y(static_cast<size_t>(shape.tokens * y_stride), 42.0f), dense(y);
      linear(x.data(), x_stride, shape.tokens, source, b, y.data(), y_stride, scratch, threads);
      expect_linear(x, x_stride, shape.tokens, w, shape.rows, shape.cols, b, y, y_stride);
      linear_dense(x.data(), x_stride, shape.tokens, w.data(), shape.rows, shape.cols, b, dense.data(), y_stride,
                   threads);
      EXPECT_EQ(y, dense);  // the gaps between rows, 42, included
      EXPECT_EQ(y[static_cast<size_t>(shape.rows)], 42.0f);
    }
  }
}

TEST(Linear, SameBytesForAnyNumberOfThreads) {
  constexpr int64_t kTokens = 300, kRows = 333, kCols = 257;
  const auto x = random_matrix(kTokens * kCols, 1);
  const DenseMatrix w(kRows, kCols, random_matrix(kRows * kCols, 2));
  std::vector<float> first(kTokens * kRows);
  ThreadPool one(1);
  TileScratch scratch;
  linear(x.data(), kCols, kTokens, w, nullptr, first.data(), kRows, scratch, one);
  for (const int count : {2, 3}) {
    ThreadPool threads(count);
    std::vector<float> y(first.size());
    linear(x.data(), kCols, kTokens, w, nullptr, y.data(), kRows, scratch, threads);
    EXPECT_EQ(std::memcmp(y.data(), first.data(), y.size() * sizeof(float)), 0) << count;
  }
}

using Sgemm = decltype(&sgemm);
Transpose transpose(bool yes) { return yes ? Transpose::kYes : Transpose::kNo; }

TEST(Sgemm, TransposesAndScalesAsDocumented) {
  // A = [[1,2],[3,4],[5,6]], B = [[1,0,2],[0,1,3]]; A B = [[1,2,8],[3,4,18],[5,6,28]].
  const float a[] = {1, 2, 3, 4, 5, 6}, at[] = {1, 3, 5, 2, 4, 6}, b[] = {1, 0, 2, 0, 1, 3}, bt[] = {1, 0, 0, 1, 2, 3};
  const std::vector<float> expected = {2 * 1 + 1,  2 * 2 + 1, 2 * 8 + 1, 2 * 3 + 1, 2 * 4 + 1,
                                       2 * 18 + 1, 2 * 5 + 1, 2 * 6 + 1, 2 * 28 + 1};
  for (const Sgemm product : {&sgemm, &blocked_sgemm}) {
    for (const bool ta : {false, true}) {
      for (const bool tb : {false, true}) {
        std::vector<float> c(9, 1.0f);
        product(transpose(ta), transpose(tb), 3, 3, 2, 2.0f, ta ? at : a, ta ? 3 : 2, tb ? bt : b, tb ? 2 : 3, 1.0f,
                c.data(), 3);
        EXPECT_EQ(c, expected) << ta << tb;
      }
    }
  }
}

// Shapes that end within a tile and within a block of every kind. As in expect_linear, with three more roundings: of
// alpha's product, of C, and of a block's sum where there are two.
TEST(BlockedSgemm, EqualsTheReferenceForOddShapes) {
  const struct { int64_t m, n, k; } shapes[] = {{1, 1, 1}, {3, 33, 300}, {130, 515, 70}, {5, 31, 0}};
  constexpr double kEps = std::numeric_limits<float>::epsilon() / 2;
  for (const auto& [m, n, k] : shapes) {
    const int64_t lda = k + 1, ldb = k + 2, ldc = n + 3;
    const auto a = random_matrix(m * lda, 1), b = random_matrix(n * ldb, 2), before = random_matrix(m * ldc, 3);
    for (const float beta : {0.0f, 1.0f, 0.5f}) {
      auto c = before;
      blocked_sgemm(Transpose::kNo, Transpose::kYes, m, n, k, -1.5f, a.data(), lda, b.data(), ldb, beta, c.data(), ldc);
      for (int64_t i = 0; i < m; ++i) {
        for (int64_t j = 0; j < ldc; ++j) {
          const auto at = static_cast<size_t>(i * ldc + j);
          double sum = static_cast<double>(before[at]) * (j < n ? static_cast<double>(beta) : 1.0);
          double magnitude = std::abs(sum);
          for (int64_t d = 0; d < k && j < n; ++d) {
            const double term = -1.5 * static_cast<double>(a[static_cast<size_t>(i * lda + d)]) *
                                static_cast<double>(b[static_cast<size_t>(j * ldb + d)]);
            sum += term, magnitude += std::abs(term);
          }
          ASSERT_NEAR(c[at], sum, static_cast<double>(k + 5) * kEps * magnitude) << i << " " << j << " beta " << beta;
        }
      }
    }
  }
}

// What C held does not matter when beta is 0: it may be uninitialised.
TEST(BlockedSgemm, OverwritesWithBetaZero) {
  const float one = 1;
  float c = std::numeric_limits<float>::quiet_NaN();
  blocked_sgemm(Transpose::kNo, Transpose::kNo, 1, 1, 1, 1.0f, &one, 1, &one, 1, 0.0f, &c, 1);
  EXPECT_EQ(c, 1.0f);
}

}  // namespace
}  // namespace bitloom
