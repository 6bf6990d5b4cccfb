#include "round/kmeans/exact_kmeans.h"

#include "round/kmeans/kmeans.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "base/rng.h"

namespace bitloom {
namespace {

using ::testing::DoubleEq;
using ::testing::ElementsAre;
using ::testing::Pointwise;

enum class Shape { kNormal, kHeavy, kFew };

/// Ascending values: normal, Student's t with 3 degrees of freedom, or a few different ones.
std::vector<float> values_of(Shape shape, int64_t n, uint64_t seed) {
  Rng rng(seed, 91);
  std::vector<float> values;
  for (int64_t i = 0; i < n; ++i) {
    double x = rng.normal();
    if (shape == Shape::kHeavy) {
      const double a = rng.normal(), b = rng.normal(), c = rng.normal();
      x /= std::sqrt((a * a + b * b + c * c) / 3);
    }
    values.push_back(static_cast<float>(shape == Shape::kFew ? std::round(x) : x));
  }
  std::sort(values.begin(), values.end());
  return values;
}

/// 0 for every fourth.
std::vector<float> masses_of(int64_t n, uint64_t seed) {
  Rng rng(seed, 92);
  std::vector<float> masses;
  for (int64_t i = 0; i < n; ++i) masses.push_back(i % 4 == 1 ? 0.0f : static_cast<float>(std::abs(rng.normal())));
  return masses;
}

double error_of(const std::vector<float>& x, const std::vector<float>& m, size_t first, size_t last) {
  double mass = 0, sum = 0, error = 0;
  for (size_t i = first; i < last; ++i) mass += m[i], sum += static_cast<double>(m[i]) * static_cast<double>(x[i]);
  for (size_t i = first; i < last && mass > 0; ++i) {
    error += static_cast<double>(m[i]) * std::pow(static_cast<double>(x[i]) - sum / mass, 2);
  }
  return error;
}

/// The least error of points [first, n) in k clusters, by trying all.
double brute_force(const std::vector<float>& x, const std::vector<float>& m, size_t first, int k) {
  if (k == 1) return error_of(x, m, first, x.size());
  double least = std::numeric_limits<double>::infinity();
  for (size_t cut = first; cut <= x.size(); ++cut) {
    least = std::min(least, error_of(x, m, first, cut) + brute_force(x, m, cut, k - 1));
  }
  return least;
}

TEST(ExactKMeans, EqualsBruteForce) {
  for (const Shape shape : {Shape::kNormal, Shape::kHeavy, Shape::kFew}) {
    for (int64_t n = 1; n <= 12; ++n) {
      const std::vector<float> x = values_of(shape, n, static_cast<uint64_t>(n)), m = masses_of(n, 3);
      for (const std::vector<float>& masses : {m, std::vector<float>(x.size(), 1.0f)}) {
        const SortedPoints points(x, masses);
        const ClusterTable table(points, 5);
        for (int k = 1; k <= 5; ++k) {
          const double least = brute_force(x, masses, 0, k);
          // Sums of at most 12 doubles of this size.
          EXPECT_NEAR(table.errors()[static_cast<size_t>(k - 1)], least, 1e-12) << n << " points, " << k;
          const Cuts cuts = table.cuts(k);
          EXPECT_TRUE(std::is_sorted(cuts.begin(), cuts.end()));
          EXPECT_EQ(cuts.front(), 0);
          EXPECT_EQ(cuts.back(), n);
          EXPECT_NEAR(cluster_error(points, cuts), least, 1e-12);
        }
      }
    }
  }
}

TEST(ExactKMeans, KeepsFewValuesAndKnowsNothing) {
  const std::vector<float> x = {-1, -1, 2, 2, 2, 7};
  const SortedPoints points(x);
  const ClusterTable table(points, 5);
  // Sums of six doubles below 100.
  EXPECT_NEAR(table.errors()[2], 0, 1e-13);
  EXPECT_NEAR(table.errors()[4], 0, 1e-13);
  EXPECT_THAT(cluster_means(points, table.cuts(3)), Pointwise(DoubleEq(), {-1.0, 2.0, 7.0}));
  const SortedPoints none(std::span<const float>{});
  EXPECT_THAT(cluster_means(none, fast_kmeans(none, 2, 9)), ElementsAre(0, 0));
}

/// Lloyd's algorithm from quantiles and from equal steps, the usual starts.
double lloyd_error(const SortedPoints& points, int64_t levels) {
  Cuts quantiles, steps = {0};
  const double low = points.value(0), span = points.value(points.size() - 1) - low;
  for (int64_t k = 0; k <= levels; ++k) quantiles.push_back(k * points.size() / levels);
  for (int64_t k = 1; k < levels; ++k) {
    steps.push_back(points.first_above(low + span * static_cast<double>(k) / static_cast<double>(levels)));
  }
  steps.push_back(points.size());
  return std::min(cluster_error(points, lloyd(points, quantiles, 1000)),
                  cluster_error(points, lloyd(points, steps, 1000)));
}

TEST(ExactKMeans, IsNeverWorseThanLloydAndTheFastPathIsNear) {
  double worst = 1;
  for (const Shape shape : {Shape::kNormal, Shape::kHeavy}) {
    for (uint64_t seed = 0; seed < 12; ++seed) {
      const int64_t n = seed % 3 == 0 ? 11008 : 4096;
      const std::vector<float> x = values_of(shape, n, seed), m = masses_of(n, seed);
      const SortedPoints points = seed % 2 == 0 ? SortedPoints(x) : SortedPoints(x, m);
      const ClusterTable table(points, 16);
      EXPECT_TRUE(std::is_sorted(table.errors().rbegin(), table.errors().rend()));
      for (const int64_t levels : {2, 4, 8, 16}) {
        const double least = table.errors()[static_cast<size_t>(levels - 1)];
        EXPECT_LE(least, lloyd_error(points, levels) * (1 + 1e-12));
        const double fast = cluster_error(points, fast_kmeans(points, levels, 50));
        EXPECT_LE(least, fast * (1 + 1e-12));
        worst = std::max(worst, fast / least);
      }
    }
  }
  EXPECT_LT(worst, 1.005);
}

// A table of a column as it was some columns ago, moved by three turns on what feedback has made of it since: shares of
// other columns' errors, here a seventh of its own.
TEST(MoveLevels, FromAWarmStartIsNearTheOptimum) {
  for (uint64_t seed = 0; seed < 8; ++seed) {
    for (const int64_t levels : {4, 16}) {
      Rng rng(seed, 11);
      const std::vector<float> before = values_of(Shape::kHeavy, 4096, seed), masses = masses_of(4096, seed);
      const SortedPoints points(before, masses);
      const Cuts cuts = fast_kmeans(points, levels, 50);
      std::vector<float> table;
      for (const double mean : cluster_means(points, cuts)) table.push_back(static_cast<float>(mean));
      const double mass = std::accumulate(masses.begin(), masses.end(), 0.0);
      const auto noise = static_cast<float>(std::sqrt(cluster_error(points, cuts) / mass) / 7);
      std::vector<float> x = before, sorted, sorted_masses;
      for (float& value : x) value += noise * static_cast<float>(rng.normal());
      std::vector<uint8_t> codes(x.size());
      for (int turn = 0; turn < 4; ++turn) {
        encode_levels(table, x.data(), 4096, codes.data());
        if (turn < 3) move_levels(x.data(), codes, masses, {}, table);
      }
      double error = 0;
      for (size_t i = 0; i < x.size(); ++i) {
        error += static_cast<double>(masses[i]) *
                 std::pow(static_cast<double>(x[i]) - static_cast<double>(table[codes[i]]), 2);
      }
      std::vector<uint32_t> order;
      std::vector<uint64_t> scratch;
      sort_places(x, order, scratch);
      for (const uint32_t place : order) sorted.push_back(x[place]), sorted_masses.push_back(masses[place]);
      const ClusterTable optimum(SortedPoints(sorted, sorted_masses), levels);
      EXPECT_LT(error, 1.005 * optimum.errors().back()) << seed << " " << levels;
    }
  }
}

/// sum m (x - nearest level)^2 over the values that are not left out, the levels being the best ones for gathered
/// points.
double gathered_error(const std::vector<float>& x, const std::vector<float>& m, const std::vector<uint8_t>& left_out,
                      int64_t levels) {
  GatheredPoints gathered;
  gathered.gather(x, m, left_out, levels);
  const SortedPoints points(gathered.values(), gathered.masses());
  std::vector<float> table;
  for (const double mean : cluster_means(points, fast_kmeans(points, levels, 50))) {
    table.push_back(static_cast<float>(mean));
  }
  std::vector<uint8_t> codes(x.size());
  encode_levels(table, x.data(), static_cast<int64_t>(x.size()), codes.data());
  double error = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    const double mass = left_out[i] != 0 ? 0 : m.empty() ? 1 : static_cast<double>(m[i]);
    error += mass * std::pow(static_cast<double>(x[i]) - static_cast<double>(table[codes[i]]), 2);
  }
  return error;
}

TEST(GatheredPoints, TablesForThemAreNearTheOptimum) {
  for (const Shape shape : {Shape::kNormal, Shape::kHeavy}) {
    for (uint64_t seed = 0; seed < 6; ++seed) {
      const int64_t n = seed % 3 == 0 ? 11008 : 4096;
      std::vector<float> x = values_of(shape, n, seed);
      if (seed == 1) x.back() = 1e6f;  // whose bins would hold all others
      const float offset = seed == 2 ? 20.0f : seed == 5 ? -3000.0f : 0.0f;
      for (float& value : x) value += offset;
      const std::vector<float> m = seed % 2 == 0 ? std::vector<float>{} : masses_of(n, seed);
      std::vector<uint8_t> left_out(x.size());
      std::vector<float> counted, counted_masses;
      for (size_t i = 0; i < x.size(); ++i) {
        left_out[i] = seed > 2 && i % 50 == 49 ? 1 : 0;
        if (left_out[i] != 0) continue;
        counted.push_back(x[i]);
        if (!m.empty()) counted_masses.push_back(m[i]);
      }
      for (const int64_t levels : {2, 4, 8, 16, 32}) {
        const ClusterTable optimum(SortedPoints(counted, counted_masses), levels);
        EXPECT_LT(gathered_error(x, m, left_out, levels), 1.005 * optimum.errors().back())
            << static_cast<int>(shape) << " " << seed << " " << levels;
      }
    }
  }
}

TEST(GatheredPoints, AreTheValuesThemselvesWhereTheyAreFew) {
  GatheredPoints gathered;
  gathered.gather(std::vector<float>{3, -1, 2}, std::vector<float>{1, 5, 7}, std::vector<uint8_t>{0, 0, 1}, 2);
  EXPECT_THAT(gathered.values(), ElementsAre(-1, 3));
  EXPECT_THAT(gathered.masses(), ElementsAre(5, 1));
  gathered.gather({}, {}, {}, 4);
  EXPECT_THAT(gathered.values(), ElementsAre());
}

TEST(GatheredPoints, KeepTheMassAndTheOrder) {
  const std::vector<float> x = values_of(Shape::kHeavy, 4096, 3);
  GatheredPoints gathered;
  for (const float factor : {1.0f, 0.0f, 1e-38f, 60000.0f}) {
    std::vector<float> scaled;
    for (const float value : x) scaled.push_back(factor * value);
    gathered.gather(scaled, {}, {}, 4);
    EXPECT_TRUE(std::is_sorted(gathered.values().begin(), gathered.values().end())) << factor;
    EXPECT_EQ(std::accumulate(gathered.masses().begin(), gathered.masses().end(), 0.0), 4096) << factor;
    if (factor >= 1) {
      EXPECT_LT(gathered.values().size(), 1500u) << factor;
    }
  }
}

TEST(SortPlaces, OrdersValuesOfAnyNumberAndSignStably) {
  Rng rng(5, 9);
  std::vector<uint32_t> order;
  std::vector<uint64_t> scratch;
  for (const size_t n : {size_t{0}, size_t{1}, size_t{100}, size_t{5000}}) {
    std::vector<float> values;
    for (size_t i = 0; i < n; ++i) {
      values.push_back(std::round(static_cast<float>(rng.normal()) * 8) * (i % 5 == 0 ? 1e-30f : 1.0f));
    }
    sort_places(values, order, scratch);
    std::vector<uint32_t> expected(n);
    for (size_t i = 0; i < n; ++i) expected[i] = static_cast<uint32_t>(i);
    std::stable_sort(expected.begin(), expected.end(), [&](uint32_t a, uint32_t b) { return values[a] < values[b]; });
    EXPECT_EQ(order, expected) << n;
  }
  // So close to each other that their upper 22 bits are the same.
  std::vector<float> close;
  for (int i = 0; i < 5000; ++i) close.push_back(1 + 0x1p-23f * static_cast<float>(std::lround(400 * rng.uniform())));
  sort_places(close, order, scratch);
  EXPECT_TRUE(std::is_sorted(order.begin(), order.end(), [&](uint32_t a, uint32_t b) {
    return close[a] != close[b] ? close[a] < close[b] : a < b;
  }));
  std::sort(order.begin(), order.end());
  for (uint32_t i = 0; i < 5000; ++i) EXPECT_EQ(order[i], i);
}

}  // namespace
}  // namespace bitloom
