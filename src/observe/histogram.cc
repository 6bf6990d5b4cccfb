#include "observe/histogram.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "observe/finite_tokens.h"

namespace bitloom {
namespace {

constexpr int kLeastExponent = -149;  // of the smallest positive float
constexpr int kGreatestExponent = 128;  // two bins then hold every float
constexpr int64_t kMostValues = int64_t{1} << 62;
constexpr int64_t kTokens = 64;       // that one thread takes at a time

struct Extremes {
  float low = 0, high = 0;
  bool seen = false;
  void add(float least, float most) {
    low = seen ? std::min(low, least) : least;
    high = seen ? std::max(high, most) : most;
    seen = true;
  }
};

/// Calls body(row) for every finite row among tokens [begin, end).
template <typename Body>
void for_each_row(const float* x, int64_t stride, const std::vector<char>& finite, int64_t block, const Body& body) {
  const auto tokens = static_cast<int64_t>(finite.size());
  for (int64_t t = block * kTokens; t < std::min(tokens, (block + 1) * kTokens); ++t) {
    if (finite[static_cast<size_t>(t)]) body(x + t * stride);
  }
}

Extremes find_extremes(const float* x, int64_t channels, int64_t stride, const std::vector<char>& finite,
                       ThreadPool& threads) {
  std::vector<Extremes> found((finite.size() + kTokens - 1) / kTokens);
  threads.parallel_for(static_cast<int64_t>(found.size()), [&](int64_t block) {
    for_each_row(x, stride, finite, block, [&](const float* row) {
      const auto [least, most] = std::minmax_element(row, row + channels);
      found[static_cast<size_t>(block)].add(*least, *most);
    });
  });
  Extremes all;
  for (const Extremes& part : found) {
    if (part.seen) all.add(part.low, part.high);
  }
  return all;
}

/// The rank, from 0, of the percentile among n values.
int64_t nearest_rank(double percent, int64_t n) {
  const auto rank = static_cast<int64_t>(std::ceil(percent / 100 * static_cast<double>(n))) - 1;
  return std::clamp<int64_t>(rank, 0, n - 1);
}

/// Index of the entry that holds the rank-th of all counted.
int64_t find_rank(const std::vector<int64_t>& counts, int64_t rank) {
  int64_t below = 0;
  for (size_t i = 0; i < counts.size(); ++i) {
    below += counts[i];
    if (below > rank) return static_cast<int64_t>(i);
  }
  return static_cast<int64_t>(counts.size()) - 1;
}

}  // namespace

Histogram::Histogram(int64_t bins) : exponent_(kLeastExponent) {
  if (bins < 2 || bins > (int64_t{1} << 24) || bins % 2 != 0) {
    fail(ErrorKind::kFailed, "a histogram of {} bins: an even number from 2 to 2^24 is expected", bins);
  }
  counts_.resize(static_cast<size_t>(bins));
}

double Histogram::width() const { return std::ldexp(1.0, exponent_); }

// Pairs (2s, 2s + 1) -> s.
void Histogram::coarsen() {
  const auto half = static_cast<int64_t>(counts_.size()) / 2;
  std::vector<int64_t> wider(counts_.size());
  for (int64_t s = -half; s < half; ++s) {
    const int64_t target = s >= 0 ? s / 2 : (s - 1) / 2;
    wider[static_cast<size_t>(target + half)] += counts_[static_cast<size_t>(s + half)];
  }
  counts_ = std::move(wider);
  ++exponent_;
}

void Histogram::grow_to(float low, float high) {
  const double half = static_cast<double>(counts_.size()) / 2;
  if (count_ == 0) low_ = low, high_ = high;
  low_ = std::min(low_, low), high_ = std::max(high_, high);
  const auto inside = [&] {
    return static_cast<double>(low_) >= -half * width() && static_cast<double>(high_) < half * width();
  };
  while (!inside()) {
    if (count_ > 0) {
      coarsen();
    } else {
      ++exponent_;
    }
  }
}

void Histogram::add(const float* x, int64_t tokens, int64_t channels, int64_t stride, ThreadPool& threads) {
  const std::vector<char> finite = finite_tokens(x, tokens, channels, stride, threads);
  const Extremes extremes = find_extremes(x, channels, stride, finite, threads);
  if (!extremes.seen) return;
  grow_to(extremes.low, extremes.high);
  const double per_width = 1 / width();  // a power of two: products are exact
  const auto half = static_cast<int64_t>(counts_.size()) / 2;
  std::vector<std::vector<int64_t>> counts(static_cast<size_t>(threads.thread_count()));
  threads.parallel_for_thread((tokens + kTokens - 1) / kTokens, [&](int64_t block, int thread) {
    std::vector<int64_t>& own = counts[static_cast<size_t>(thread)];
    own.resize(counts_.size());
    for_each_row(x, stride, finite, block, [&](const float* row) {
      for (int64_t c = 0; c < channels; ++c) {
        const auto s = static_cast<int64_t>(std::floor(static_cast<double>(row[c]) * per_width));
        ++own[static_cast<size_t>(s + half)];
      }
    });
  });
  for (const std::vector<int64_t>& own : counts) {
    for (size_t i = 0; i < own.size(); ++i) counts_[i] += own[i];
  }
  count_ += std::count(finite.begin(), finite.end(), char{1}) * channels;
}

void Histogram::merge(const Histogram& other) {
  if (other.counts_.size() != counts_.size()) {
    fail(ErrorKind::kFailed, "histograms of {} and {} bins cannot be merged", counts_.size(), other.counts_.size());
  }
  if (other.count_ == 0) return;
  Histogram added = other;
  grow_to(other.low_, other.high_);
  while (added.exponent_ < exponent_) added.coarsen();
  for (size_t i = 0; i < counts_.size(); ++i) counts_[i] += added.counts_[i];
  count_ += added.count_;
}

Histogram Histogram::restore(std::vector<int64_t> counts, int64_t exponent, float low, float high) {
  Histogram histogram(static_cast<int64_t>(counts.size()));
  if (exponent < kLeastExponent || exponent > kGreatestExponent) {
    fail(ErrorKind::kFailed, "a histogram of bins 2^{} wide: {} to {} are expected", exponent, kLeastExponent,
         kGreatestExponent);
  }
  for (const int64_t count : counts) {
    if (count < 0 || count > kMostValues - histogram.count_) {
      fail(ErrorKind::kFailed, "a histogram with a bin of {} values", count);
    }
    histogram.count_ += count;
  }
  const double half = static_cast<double>(counts.size()) / 2 * std::ldexp(1.0, static_cast<int>(exponent));
  if (!(low <= high && static_cast<double>(low) >= -half && static_cast<double>(high) < half)) {
    fail(ErrorKind::kFailed, "a histogram of values from {} to {} in bins from {} to {}", low, high, -half, half);
  }
  histogram.counts_ = std::move(counts);
  histogram.exponent_ = static_cast<int>(exponent), histogram.low_ = low, histogram.high_ = high;
  return histogram;
}

double Histogram::percentile(double percent) const {
  if (count_ == 0) return 0;
  const int64_t rank = nearest_rank(percent, count_);
  if (rank == 0) return static_cast<double>(low());
  if (rank == count_ - 1) return static_cast<double>(high());
  const int64_t s = find_rank(counts_, rank) - static_cast<int64_t>(counts_.size()) / 2;
  return std::clamp((static_cast<double>(s) + 0.5) * width(), static_cast<double>(low_), static_cast<double>(high_));
}

// Values in [s, s + 1) width with s < 0 have magnitudes in (-s - 1, -s] width: they join bin -s - 1.
double Histogram::absolute_percentile(double percent) const {
  if (count_ == 0) return 0;
  const double least = low_ > 0 ? static_cast<double>(low_) : high_ < 0 ? -static_cast<double>(high_) : 0;
  const double most = std::max(std::abs(static_cast<double>(low_)), std::abs(static_cast<double>(high_)));
  const int64_t rank = nearest_rank(percent, count_);
  if (rank == count_ - 1) return most;
  const size_t half = counts_.size() / 2;
  std::vector<int64_t> folded(half);
  for (size_t m = 0; m < half; ++m) folded[m] = counts_[half + m] + counts_[half - 1 - m];
  return std::clamp((static_cast<double>(find_rank(folded, rank)) + 0.5) * width(), least, most);
}

}  // namespace bitloom
