#include "round/vector/metric_kmeans.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/rng.h"
#include "round/vector/block_columns.h"

namespace bitloom {
namespace {

/// Symmetric, positive definite: B B^T + I / 10.
std::vector<float> random_metrics(int64_t places, int64_t group, uint64_t seed) {
  Rng rng(seed, 9);
  std::vector<float> metrics;
  for (int64_t j = 0; j < places; ++j) {
    std::vector<double> b(static_cast<size_t>(group * group));
    for (double& value : b) value = rng.normal();
    for (int64_t s = 0; s < group; ++s) {
      for (int64_t t = 0; t < group; ++t) {
        double sum = s == t ? 0.1 : 0;
        for (int64_t k = 0; k < group; ++k)
          sum += b[static_cast<size_t>(s * group + k)] * b[static_cast<size_t>(t * group + k)];
        metrics.push_back(static_cast<float>(sum));
      }
    }
  }
  return metrics;
}

std::vector<float> random_values(int64_t count, uint64_t seed) {
  Rng rng(seed, 10);
  std::vector<float> values;
  for (int64_t i = 0; i < count; ++i) values.push_back(static_cast<float>(rng.normal()));
  return values;
}

double distance(const float* m, const float* x, const float* c, int64_t group) {
  double sum = 0;
  for (int64_t s = 0; s < group; ++s) {
    for (int64_t t = 0; t < group; ++t) {
      sum += (double{x[s]} - c[s]) * double{m[s * group + t]} * (double{x[t]} - c[t]);
    }
  }
  return sum;
}

/// Each vector at its nearest entry, in fp64.
double loss_of(const MetricPoints& points, const std::vector<float>& codebook, int64_t entries) {
  const int64_t g = points.group;
  double total = 0;
  for (int64_t i = 0; i < points.rows * points.places; ++i) {
    const float* m = points.metrics + i % points.places * g * g;
    double least = std::numeric_limits<double>::infinity();
    for (int64_t k = 0; k < entries; ++k)
      least = std::min(least, distance(m, points.x + i * g, &codebook[static_cast<size_t>(k * g)], g));
    total += least;
  }
  return total;
}

// Distances are sums of a few products in fp32, of magnitudes up to some tens: another entry may win by 1e-5 of them.
TEST(MetricSearch, FindsTheNearestByTheMetric) {
  for (const auto& [entries, group] : {std::pair<int64_t, int64_t>{256, 4}, {16, 2}, {4, 1}, {256, 8}, {2, 4}}) {
    const std::vector<float> codebook = random_values(entries * group, 1), metrics = random_metrics(5, group, 2);
    MetricSearch search(entries, group);
    search.set_codebook(codebook.data());
    for (int64_t j = 0; j < 5; ++j) {
      const float* m = metrics.data() + j * group * group;
      search.set_metric(m);
      for (uint64_t seed = 0; seed < 40; ++seed) {
        const std::vector<float> x = random_values(group, 100 + seed);
        const int64_t found = search.find(x.data());
        ASSERT_TRUE(found >= 0 && found < entries);
        double least = std::numeric_limits<double>::infinity(),
               size = distance(m, x.data(), std::vector<float>(8).data(), group);
        for (int64_t k = 0; k < entries; ++k)
          least = std::min(least, distance(m, x.data(), &codebook[static_cast<size_t>(k * group)], group));
        EXPECT_LE(distance(m, x.data(), &codebook[static_cast<size_t>(found * group)], group),
                  least + 1e-5 * (size + 10));
      }
    }
  }
}

// Both steps lower the loss; the codebooks of more turns are no worse.
TEST(MetricKMeans, LossFallsWithEveryTurn) {
  for (const auto& [entries, group] : {std::pair<int64_t, int64_t>{16, 2}, {64, 4}, {4, 1}}) {
    const std::vector<float> x = random_values(48 * 20 * group, 3), metrics = random_metrics(20, group, 4);
    const MetricPoints points{48, 20, group, x.data(), metrics.data()};
    double before = std::numeric_limits<double>::infinity(), first = 0;
    for (const int64_t turns : {1, 2, 4, 8, 30}) {
      const double loss = loss_of(points, metric_kmeans(points, entries, turns), entries);
      EXPECT_LE(loss, before * (1 + 1e-6)) << entries << " " << turns;
      if (turns == 1) first = loss;
      before = loss;
    }
    EXPECT_LT(before, 0.95 * first);
  }
}

// Where its vectors lie in as many places as there are entries, each gets one of its own; sums are divided by a mass
// that is raised by a millionth.
TEST(MetricKMeans, FindsCountedValues) {
  std::vector<float> x;
  for (int i = 0; i < 64; ++i) x.push_back(static_cast<float>(i % 4) - 1.5f);
  const std::vector<float> metrics(8, 2.0f);
  std::vector<float> codebook = metric_kmeans({8, 8, 1, x.data(), metrics.data()}, 4, 20);
  std::sort(codebook.begin(), codebook.end());
  for (size_t k = 0; k < 4; ++k) EXPECT_NEAR(codebook[k], static_cast<float>(k) - 1.5f, 2e-6);
}

// A zero matrix has nothing to divide by, and fewer vectors than entries leave some unused.
TEST(MetricKMeans, TakesWhatSaysLittle) {
  const std::vector<float> zeros(64), few = random_values(8, 5), metrics = random_metrics(4, 4, 6);
  for (const float value : metric_kmeans({4, 4, 4, zeros.data(), metrics.data()}, 16, 10)) EXPECT_EQ(value, 0);
  const std::vector<float> codebook = metric_kmeans({1, 2, 4, few.data(), metrics.data()}, 256, 10);
  EXPECT_NEAR(loss_of({1, 2, 4, few.data(), metrics.data()}, codebook, 256), 0, 1e-9);
}

// M_J = (U_JJ^T U_JJ)^-1, the last of fewer columns with zeros around.
TEST(ColumnMetrics, AreInverses) {
  constexpr int64_t kColumns = 10, kGroup = 4;
  const std::vector<float> random = random_values(kColumns * kColumns, 7);
  std::vector<float> u(random.size());
  for (int64_t i = 0; i < kColumns; ++i) {
    for (int64_t j = i; j < kColumns; ++j) {
      const auto at = static_cast<size_t>(i * kColumns + j);
      u[at] = i == j ? 1.5f + std::abs(random[at]) : 0.5f * random[at];
    }
  }
  const std::vector<float> metrics = column_metrics(u.data(), kColumns, kGroup);
  ASSERT_EQ(metrics.size(), 3u * kGroup * kGroup);
  for (int64_t j = 0; j < 3; ++j) {
    const int64_t n = std::min(kGroup, kColumns - j * kGroup);
    for (int64_t a = 0; a < kGroup; ++a) {
      for (int64_t b = 0; b < kGroup; ++b) {
        double product = 0;  // of U_JJ^T U_JJ and M
        for (int64_t k = 0; k < n && a < n; ++k) {
          double gram = 0;
          for (int64_t i = 0; i < n; ++i) {
            const auto at = [&](int64_t r, int64_t c) {
              return double{u[static_cast<size_t>((j * kGroup + r) * kColumns + j * kGroup + c)]};
            };
            gram += at(i, a) * at(i, k);
          }
          product += gram * double{metrics[static_cast<size_t>((j * kGroup + k) * kGroup + b)]};
        }
        EXPECT_NEAR(product, a == b && a < n ? 1 : 0, 1e-5) << j << " " << a << " " << b;
      }
    }
  }
}

// Half a unit of the block's scale, and the greatest magnitude to fp16's rounding.
TEST(ByteCodebooks, AreNearest) {
  std::vector<float> codebooks = random_values(64, 8);
  std::fill(codebooks.begin() + 32, codebooks.begin() + 48, 0.0f);
  const ByteCodebooks bytes = to_bytes(codebooks, 16);
  ASSERT_EQ(bytes.scales.size(), 4u);
  EXPECT_EQ(bytes.scales[2], 0);
  const std::vector<float> values = from_bytes(bytes);
  for (size_t i = 0; i < values.size(); ++i) {
    EXPECT_LE(std::abs(values[i] - codebooks[i]), (0.5f + 127.0f / 2048) * bytes.scales[i / 16]) << i;
  }
  EXPECT_EQ(to_bytes(values, 16).values, bytes.values);
}

// One entry is the vectors' mean by their weights, but for the millionth that its system's diagonal is raised by;
// weights that are all alike change nothing.
TEST(MetricKMeans, CountsVectorsByTheirWeights) {
  const std::vector<float> x = {1, 2, 5, 10}, metrics = {0.5f, 0.5f}, weights = {1, 2, 4, 1};
  EXPECT_NEAR(metric_kmeans({2, 2, 1, x.data(), metrics.data(), weights.data()}, 1, 5)[0], 35.0 / 8, 2e-6 * 35 / 8);
  const std::vector<float> y = random_values(300 * 3 * 4, 6), m = random_metrics(3, 4, 7), twice(900, 2.0f);
  EXPECT_EQ(metric_kmeans({300, 3, 4, y.data(), m.data(), twice.data()}, 16, 20),
            metric_kmeans({300, 3, 4, y.data(), m.data()}, 16, 20));
}

}  // namespace
}  // namespace bitloom
