#include "round/claq/allocation.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <queue>

#include "base/error.h"

namespace bitloom {
namespace {

/// Halves to even, as Python and the processor's default rounding do.
int64_t round_even(double x) { return std::llrint(x); }

std::vector<KeptCounts> by_rank(const std::vector<int64_t>& ranked, int64_t most, const KeptCounts& first,
                                const KeptCounts& rest) {
  std::vector<KeptCounts> counts(ranked.size(), rest);
  for (int64_t i = 0; i < most; ++i) counts[static_cast<size_t>(ranked[static_cast<size_t>(i)])] = first;
  return counts;
}

}  // namespace

std::vector<int64_t> by_falling(const std::vector<double>& scores, const std::vector<float>& tie_break) {
  std::vector<int64_t> columns(scores.size());
  std::iota(columns.begin(), columns.end(), int64_t{0});
  std::stable_sort(columns.begin(), columns.end(), [&](int64_t a, int64_t b) {
    const auto i = static_cast<size_t>(a), j = static_cast<size_t>(b);
    return scores[i] != scores[j] ? scores[i] > scores[j] : tie_break[i] > tie_break[j];
  });
  return columns;
}

std::vector<double> outlier_counts(const std::vector<float>& w, int64_t rows, int64_t cols, double threshold) {
  double sum = 0;
  for (const float x : w) sum += static_cast<double>(std::abs(x));
  const double bound = w.empty() ? 0 : threshold * sum / static_cast<double>(w.size());
  std::vector<double> counts(static_cast<size_t>(cols), 0);
  for (int64_t r = 0; r < rows && sum > 0; ++r) {
    const float* row = w.data() + r * cols;
    for (size_t c = 0; c < counts.size(); ++c) counts[c] += static_cast<double>(std::abs(row[c])) >= bound ? 1 : 0;
  }
  return counts;
}

std::vector<double> saliencies(const std::vector<float>& w, int64_t rows, int64_t cols,
                               const std::vector<float>& costs) {
  std::vector<double> means(static_cast<size_t>(cols), 0);
  for (int64_t r = 0; r < rows; ++r) {
    const float* row = w.data() + r * cols;
    for (size_t c = 0; c < means.size(); ++c) means[c] += static_cast<double>(row[c]) * static_cast<double>(row[c]);
  }
  for (size_t c = 0; c < means.size(); ++c) {
    means[c] *= static_cast<double>(costs[c]) / static_cast<double>(std::max<int64_t>(rows, 1));
  }
  return means;
}

WidthPair width_pair(const std::string& place, int64_t milli_bits, int64_t narrow, int64_t wide) {
  const auto whole = static_cast<int>(milli_bits / 1000);
  const bool broken = milli_bits % 1000 != 0;
  WidthPair pair{static_cast<int>(narrow), static_cast<int>(wide)};
  if (narrow == 0) pair.narrow = whole;
  if (wide == 0) pair.wide = !broken ? std::max(whole, pair.narrow) : whole == 2 || whole == 3 ? 4 : whole + 1;
  if (pair.narrow <= pair.wide && pair.narrow * 1000 <= milli_bits && milli_bits <= pair.wide * 1000) return pair;
  misuse("{}: columns of {} and {} bits cannot have {} bits in the mean", place, pair.narrow, pair.wide,
         static_cast<double>(milli_bits) / 1000);
}

std::vector<int> ranked_widths(const std::vector<int64_t>& ranked, int64_t milli_bits, const WidthPair& pair) {
  std::vector<int> widths(ranked.size(), pair.narrow);
  if (pair.wide == pair.narrow) return widths;
  const double share = static_cast<double>(milli_bits - 1000 * pair.narrow) / (1000.0 * (pair.wide - pair.narrow));
  const int64_t count = round_even(share * static_cast<double>(ranked.size()));
  for (int64_t i = 0; i < count; ++i) widths[static_cast<size_t>(ranked[static_cast<size_t>(i)])] = pair.wide;
  return widths;
}

std::vector<int> widths_by_gain(const std::vector<std::vector<double>>& errors, int64_t milli_bits,
                                const WidthPair& pair) {
  std::vector<int> widths(errors.size(), pair.narrow);
  int64_t left =
      milli_bits * static_cast<int64_t>(errors.size()) / 1000 - static_cast<int64_t>(errors.size()) * pair.narrow;
  struct Step {
    double gain;
    size_t column;
    bool operator<(const Step& other) const { return gain != other.gain ? gain < other.gain : column > other.column; }
  };
  std::priority_queue<Step> steps;
  const auto offer = [&](size_t c) {
    const auto bits = static_cast<size_t>(widths[c]);
    if (widths[c] < pair.wide) steps.push({errors[c][bits] - errors[c][bits + 1], c});
  };
  for (size_t c = 0; c < errors.size(); ++c) offer(c);
  for (; left > 0 && !steps.empty(); --left) {
    const size_t column = steps.top().column;
    steps.pop();
    ++widths[column];
    offer(column);
  }
  return widths;
}

std::vector<KeptCounts> kept_by_magnitude(const std::vector<int64_t>& ranked, int64_t rows, const Reservation& shares) {
  const auto count = [rows](double share) {
    return KeptCounts{0, 0, static_cast<int64_t>(2 * share * static_cast<double>(rows))};
  };
  // Rounded to the side of the columns that keep less.
  const double columns = shares.most_columns * static_cast<double>(ranked.size());
  const double most = shares.most_share < shares.share ? std::ceil(columns) : std::floor(columns);
  return by_rank(ranked, static_cast<int64_t>(most), count(shares.most_share), count(shares.share));
}

KeptCounts published_counts(int64_t rows, double share) {
  if (share <= 0) return {};
  const auto n = static_cast<double>(rows);
  return {std::min(rows, round_even(n * share) + 1), rows - std::min(rows, round_even(n * (1 - share))), 0};
}

std::vector<KeptCounts> kept_as_published(const std::vector<int64_t>& ranked, int64_t rows, const Reservation& shares,
                                          const std::vector<int64_t>& bug_order) {
  constexpr size_t kBlock = 128;
  const int64_t most = round_even(shares.most_columns * static_cast<double>(ranked.size()));
  const std::vector<KeptCounts> meant =
      by_rank(ranked, most, published_counts(rows, shares.most_share), published_counts(rows, shares.share));
  std::vector<KeptCounts> counts = meant;
  for (size_t p = 0; p < bug_order.size(); ++p) {
    counts[static_cast<size_t>(bug_order[p])] = meant[static_cast<size_t>(bug_order[p % kBlock])];
  }
  return counts;
}

}  // namespace bitloom
