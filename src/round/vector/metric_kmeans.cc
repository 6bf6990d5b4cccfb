#include "round/vector/metric_kmeans.h"

#include <algorithm>
#include <numeric>

#include "round/vector/entry_blocks.h"

namespace bitloom {
namespace {

constexpr int64_t kStill = 1000;  // turns end where one vector of so many changes its entry

/// [rows places]: (x - mean)^T cov^-1 (x - mean); in one dimension x itself.
std::vector<double> ranks_of(const MetricPoints& points) {
  const int64_t n = points.rows * points.places, g = points.group;
  std::vector<double> keys(static_cast<size_t>(n));
  if (g == 1) {
    std::copy_n(points.x, n, keys.begin());
    return keys;
  }
  std::vector<double> mean(static_cast<size_t>(g)), covariance(static_cast<size_t>(g * g)), off(mean), solved(mean);
  for (int64_t i = 0; i < n * g; ++i) mean[static_cast<size_t>(i % g)] += static_cast<double>(points.x[i]);
  for (double& value : mean) value /= static_cast<double>(n);
  const auto take_off = [&](int64_t i) {
    for (int64_t t = 0; t < g; ++t) {
      off[static_cast<size_t>(t)] = static_cast<double>(points.x[i * g + t]) - mean[static_cast<size_t>(t)];
    }
  };
  for (int64_t i = 0; i < n; ++i) {
    take_off(i);
    for (int64_t s = 0; s < g; ++s) {
      for (int64_t t = 0; t <= s; ++t) {
        covariance[static_cast<size_t>(s * g + t)] += off[static_cast<size_t>(s)] * off[static_cast<size_t>(t)];
      }
    }
  }
  factorize_entry(covariance.data(), g);
  for (int64_t i = 0; i < n; ++i) {
    take_off(i);
    solve_entry(covariance.data(), g, off.data(), solved.data());
    keys[static_cast<size_t>(i)] = std::inner_product(off.begin(), off.end(), solved.begin(), 0.0);
  }
  return keys;
}

std::vector<float> seeds(const MetricPoints& points, int64_t entries) {
  const int64_t n = points.rows * points.places, g = points.group;
  const std::vector<double> keys = ranks_of(points);
  std::vector<int64_t> order(static_cast<size_t>(n));
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(),
                   [&](int64_t a, int64_t b) { return keys[static_cast<size_t>(a)] < keys[static_cast<size_t>(b)]; });
  std::vector<float> codebook(static_cast<size_t>(entries * g));
  for (int64_t k = 0; k < entries; ++k) {
    const int64_t point = order[static_cast<size_t>((2 * k + 1) * n / (2 * entries))];
    std::copy_n(points.x + point * g, g, codebook.begin() + k * g);
  }
  return codebook;
}

/// Sums over an entry's vectors, and what comes of them.
class EntrySums {
 public:
  EntrySums(int64_t entries, int64_t group)
      : g_(group), m_(static_cast<size_t>(entries * group * group)), mx_(static_cast<size_t>(entries * group)) {}

  void clear() {
    std::fill(m_.begin(), m_.end(), 0.0);
    std::fill(mx_.begin(), mx_.end(), 0.0);
  }
  void add(int64_t entry, const float* metric, const float* x, double weight) {
    double* m = m_.data() + entry * g_ * g_;
    double* mx = mx_.data() + entry * g_;
    for (int64_t s = 0; s < g_; ++s) {
      for (int64_t t = 0; t < g_; ++t) {
        const double value = weight * static_cast<double>(metric[s * g_ + t]);
        m[s * g_ + t] += value, mx[s] += value * static_cast<double>(x[t]);
      }
    }
  }
  /// Leaves entries without vectors.
  void move(std::vector<float>& codebook) {
    std::vector<double> c(static_cast<size_t>(g_));
    for (size_t at = 0; at < codebook.size(); at += static_cast<size_t>(g_)) {
      double* m = m_.data() + at * static_cast<size_t>(g_);
      if (m[0] <= 0) continue;
      factorize_entry(m, g_);
      solve_entry(m, g_, mx_.data() + at, c.data());
      std::copy(c.begin(), c.end(), codebook.begin() + static_cast<int64_t>(at));
    }
  }

 private:
  int64_t g_;
  std::vector<double> m_, mx_;
};

}  // namespace

MetricSearch::MetricSearch(int64_t entries, int64_t group)
    : entries_(entries),
      group_(group),
      candidates_(entries, group),
      norms_(static_cast<size_t>(padded_candidates(entries)), kNever),
      direction_(static_cast<size_t>(group)),
      scores_(padded_candidates(entries)) {}

void MetricSearch::set_codebook(const float* codebook) {
  codebook_ = codebook;
  candidates_.set(codebook);
}

void MetricSearch::set_metric(const float* metric) {
  metric_ = metric;
  for (int64_t k = 0; k < entries_; ++k) {
    const float* c = codebook_ + k * group_;
    float norm = 0;
    for (int64_t s = 0; s < group_; ++s) {
      float row = 0;
      for (int64_t t = 0; t < group_; ++t) row += metric[s * group_ + t] * c[t];
      norm += c[s] * row;
    }
    norms_[static_cast<size_t>(k)] = norm;
  }
}

int64_t MetricSearch::find(const float* x) {
  for (int64_t s = 0; s < group_; ++s) {
    float sum = 0;
    for (int64_t t = 0; t < group_; ++t) sum += metric_[s * group_ + t] * x[t];
    direction_[static_cast<size_t>(s)] = 2 * sum;
  }
  scores_.find(candidates_, norms_.data(), group_, direction_.data(), 1.0f);
  return scores_.best();
}

std::vector<float> metric_kmeans(const MetricPoints& points, int64_t entries, int64_t turns) {
  const int64_t g = points.group;
  std::vector<float> codebook = seeds(points, entries);
  std::vector<uint16_t> codes(static_cast<size_t>(points.rows * points.places));
  MetricSearch search(entries, g);
  EntrySums sums(entries, g);
  for (int64_t turn = 0; turn < turns; ++turn) {
    int64_t changes = 0;
    search.set_codebook(codebook.data());
    sums.clear();
    for (int64_t j = 0; j < points.places; ++j) {
      const float* metric = points.metrics + j * g * g;
      search.set_metric(metric);
      for (int64_t r = 0; r < points.rows; ++r) {
        const int64_t i = r * points.places + j;
        const auto code = static_cast<uint16_t>(search.find(points.x + i * g));
        changes += turn == 0 || code != codes[static_cast<size_t>(i)] ? 1 : 0;
        codes[static_cast<size_t>(i)] = code;
        sums.add(code, metric, points.x + i * g,
                 points.weights == nullptr ? 1 : static_cast<double>(points.weights[i]));
      }
    }
    if (changes * kStill <= points.rows * points.places) break;
    sums.move(codebook);
  }
  return codebook;
}

}  // namespace bitloom
