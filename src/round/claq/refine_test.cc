#include "round/claq/refine.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/rng.h"
#include "round/claq/error_product.h"
#include "round/kmeans/kmeans.h"

namespace bitloom {
namespace {

/// A second moment of correlated inputs whose sizes differ, errors, and scales of rows.
struct Problem {
  int64_t rows, cols;
  std::vector<float> h, errors, scales;  // [cols, cols], [cols, rows], [rows]

  Problem(int64_t rows_, int64_t cols_) : rows(rows_), cols(cols_) {
    Rng rng(11, 3);
    std::vector<double> sizes, loads;
    for (int64_t c = 0; c < cols; ++c) sizes.push_back(std::exp(rng.normal())), loads.push_back(rng.normal());
    for (int64_t i = 0; i < cols; ++i) {
      for (int64_t j = 0; j < cols; ++j) {
        const auto a = static_cast<size_t>(i), b = static_cast<size_t>(j);
        const double near = std::pow(0.6, static_cast<double>(std::abs(i - j)));
        h.push_back(static_cast<float>(sizes[a] * sizes[b] * (near + 0.1 * loads[a] * loads[b])));
      }
    }
    for (int64_t r = 0; r < rows; ++r) scales.push_back(static_cast<float>(std::exp(rng.normal())));
    for (int64_t i = 0; i < cols * rows; ++i) {
      errors.push_back(static_cast<float>(rng.normal()) * scales[static_cast<size_t>(i % rows)]);
    }
  }
  double moment(int64_t j, int64_t k) const { return static_cast<double>(h[static_cast<size_t>(j * cols + k)]); }
  double scale(int64_t r) const { return static_cast<double>(scales[static_cast<size_t>(r)]); }
  double error(int64_t k, int64_t r) const { return static_cast<double>(errors[static_cast<size_t>(k * rows + r)]); }
  double product(int64_t j, int64_t r) const {
    double sum = 0;
    for (int64_t k = 0; k < cols; ++k) sum += moment(j, k) * error(k, r);
    return sum;
  }
};

/// Columns [begin, end) of G [columns, rows].
std::vector<float> product_of(const Problem& p, bool words, int64_t begin, int64_t end, int thread_count) {
  ThreadPool threads(thread_count);
  ErrorProduct product(p.rows, p.cols, p.scales, words, threads);
  product.load(p.errors.data(), 0, p.cols);
  std::vector<float> g(static_cast<size_t>((end - begin) * p.rows));
  product.multiply(p.h.data() + begin * p.cols, p.errors.data(), begin, end, g.data());
  return g;
}

constexpr int64_t kBlock = ErrorProduct::kBlock;  // sizes below leave slabs, strips and blocks cut off

TEST(ErrorProduct, IsTheProductPlainly) {
  const Problem p(300, 70);
  const std::vector<float> g = product_of(p, false, 5, 70, 2);
  for (int64_t j = 5; j < 70; j += 7) {
    for (int64_t r = 0; r < p.rows; r += 13) {
      double size = 0;
      for (int64_t k = 0; k < p.cols; ++k) size += std::abs(p.moment(j, k) * p.error(k, r));
      EXPECT_NEAR(g[static_cast<size_t>((j - 5) * p.rows + r)], p.product(j, r), 71 * 0x1p-23 * size);
    }
  }
}

/// Each e and p is off by half of its step at most, and by step / sqrt(12) in the mean, independently of the others.
TEST(ErrorProduct, OfWordsIsOffByItsRoundingAlone) {
  const Problem p(300, 600);
  constexpr int64_t kBegin = 130, kEnd = 420;
  const std::vector<float> g = product_of(p, true, kBegin, kEnd, 2);
  // c, and the step of E in each block by row.
  std::vector<double> sizes;
  for (int64_t k = 0; k < p.cols; ++k) {
    double sum = 0;
    for (int64_t r = 0; r < p.rows; ++r) sum += std::pow(p.error(k, r) / p.scale(r), 2);
    sizes.push_back(std::sqrt(sum / static_cast<double>(p.rows)));
  }
  const auto size = [&](int64_t k) { return sizes[static_cast<size_t>(k)]; };
  double ratios = 0, count = 0;
  for (int64_t j = kBegin; j < kEnd; j += 7) {
    for (int64_t r = 0; r < p.rows; ++r) {
      double limit = 0, variance = 0;
      for (int64_t first = 0; first < p.cols; first += kBlock) {
        const int64_t last = std::min(p.cols, first + kBlock);
        double error_step = 0, moment_step = 0;
        for (int64_t k = first; k < last; ++k) {
          error_step = std::max(error_step, std::abs(p.error(k, r)) / size(k) / kMostWord);
          if (k != j) moment_step = std::max(moment_step, std::abs(p.moment(j, k)) * size(k) / kMostWord);
        }
        for (int64_t k = first; k < last; ++k) {
          if (k == j) continue;
          const double of_error = std::abs(p.moment(j, k)) * size(k) * error_step;
          const double of_moment = std::abs(p.error(k, r)) / size(k) * moment_step;
          limit += (of_error + of_moment + error_step * moment_step / 2) / 2;
          variance += (of_error * of_error + of_moment * of_moment) / 12;
        }
        for (int64_t k = first; k < last; ++k) limit += 4 * 0x1p-24 * std::abs(p.moment(j, k) * p.error(k, r));
      }
      const double off = static_cast<double>(g[static_cast<size_t>((j - kBegin) * p.rows + r)]) - p.product(j, r);
      ASSERT_LE(std::abs(off), 1.001 * limit) << j << " " << r;
      ratios += off * off / variance, ++count;
    }
  }
  // What rounding E does to a row it does to all columns alike where H has rank one, so that the 300 rows are all that
  // is surely independent: a deviation of sqrt(2 / 300) = 0.08, and twice that.
  EXPECT_NEAR(ratios / count, 1, 0.16);
}

TEST(ErrorProduct, OfWordsIsTheSameForAnyNumberOfThreads) {
  const Problem p(600, 300);
  EXPECT_EQ(product_of(p, true, 0, 300, 1), product_of(p, true, 0, 300, 3));
}

TEST(ErrorProduct, OfWordsTakesZeros) {
  Problem p(20, 30);
  std::fill(p.errors.begin(), p.errors.end(), 0.0f);
  EXPECT_EQ(product_of(p, true, 0, 30, 1), std::vector<float>(600, 0.0f));
}

/// tr(E H E^T) of what a refinement of so many turns leaves, from tables by k-means and nearest codes.
double refined_error(const Problem& p, int64_t turns, bool words) {
  ThreadPool threads(2);
  ColumnCodebooks chosen;
  chosen.kept.resize(static_cast<size_t>(p.cols));
  for (int64_t c = 0; c < p.cols; ++c) {
    std::vector<float> x;
    for (int64_t r = 0; r < p.rows; ++r)
      x.push_back(static_cast<float>(p.error(c, r)) / p.scales[static_cast<size_t>(r)]);
    CodebookColumn column{2, std::vector<uint8_t>(x.size()), {}};
    std::vector<float> sorted = x;
    std::sort(sorted.begin(), sorted.end());
    column.table = kmeans_levels(sorted, 4, 50);
    encode_levels(column.table, x.data(), p.rows, column.codes.data());
    chosen.columns.push_back(std::move(column));
  }
  std::vector<int64_t> order(static_cast<size_t>(p.cols));
  std::iota(order.begin(), order.end(), int64_t{0});
  Problem left = p;
  const auto moment_rows = [&p](int64_t begin, int64_t end, float* out) {
    std::copy(p.h.begin() + begin * p.cols, p.h.begin() + end * p.cols, out);
  };
  refine_codebooks({p.rows, p.cols, p.errors.data(), order, moment_rows, p.scales, left.errors.data(), words}, turns,
                   chosen, threads);
  double error = 0;
  for (int64_t c = 0; c < p.cols; ++c) {
    const CodebookColumn& column = chosen.columns[static_cast<size_t>(c)];
    for (int64_t r = 0; r < p.rows; ++r) {
      const auto at = static_cast<size_t>(c * p.rows + r);
      left.errors[at] =
          p.errors[at] - p.scales[static_cast<size_t>(r)] * column.table[column.codes[static_cast<size_t>(r)]];
    }
  }
  for (int64_t c = 0; c < p.cols; ++c) {
    for (int64_t r = 0; r < p.rows; ++r) error += left.product(c, r) * left.error(c, r);
  }
  return error;
}

/// The weights are what Problem calls errors.
TEST(Refine, GainsByWordsWhatItGainsPlainly) {
  const Problem p(150, 600);
  const double before = refined_error(p, 0, false);
  for (const int64_t turns : {1, 3}) {
    const double plain = refined_error(p, turns, false), words = refined_error(p, turns, true);
    EXPECT_LT(plain, 0.7 * before);
    EXPECT_LT(std::abs(words - plain), 0.001 * (before - plain)) << turns << " turns, of " << before;
  }
}

}  // namespace
}  // namespace bitloom
