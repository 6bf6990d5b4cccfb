#include "observe/activation_range.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "base/error.h"

namespace bitloom {
namespace {

constexpr int kMseCandidates = 100, kKlCandidates = 128;

struct Range {
  double low = 0, high = 0;  // low <= 0 <= high
};

Range scaled(const Range& range, int i, int candidates) {
  const double factor = static_cast<double>(i) / candidates;
  return {range.low * factor, range.high * factor};
}

Range mirrored(double most) { return {-most, most}; }

Range absmax_range(const ActivationFormat& format, const Histogram& values) {
  const double low = std::min(0.0, static_cast<double>(values.low()));
  const double high = std::max(0.0, static_cast<double>(values.high()));
  return format.asymmetric ? Range{low, high} : mirrored(std::max(-low, high));
}

Range percentile_range(const ActivationFormat& format, const Histogram& values) {
  const double percent = format.range.percentile;
  if (!format.asymmetric) return mirrored(values.absolute_percentile(percent));
  return {std::min(0.0, values.percentile(100 - percent)), std::max(0.0, values.percentile(percent))};
}

/// What values in the range are rounded to, ascending.
std::vector<double> levels_of(const ActivationFormat& format, const Range& range) {
  const auto [step, zero] = scale_of_range(format, static_cast<float>(range.low), static_cast<float>(range.high));
  std::vector<double> levels;
  if (format.asymmetric) {
    for (int code = 0; code < 1 << bits_of(format.format); ++code) {
      levels.push_back(static_cast<double>(step) * (code - static_cast<double>(zero)));
    }
  } else {
    for (const float level : grid_of(format.format).levels) levels.push_back(static_cast<double>(step) * level);
  }
  return levels;
}

/// integral from a to b of (x - level)^2 dx
double squared_error(double a, double b, double level) {
  const auto cube = [](double x) { return x * x * x; };
  return (cube(b - level) - cube(a - level)) / 3;
}

/// Bins and cells of levels, walked together.
double squared_error(const Histogram& values, const std::vector<double>& levels) {
  const std::vector<int64_t>& counts = values.counts();
  const double width = values.width(), half = static_cast<double>(counts.size()) / 2;
  const auto end_of_cell = [&levels](size_t k) {
    return k + 1 < levels.size() ? (levels[k] + levels[k + 1]) / 2 : std::numeric_limits<double>::infinity();
  };
  double error = 0;
  size_t cell = 0;
  for (size_t bin = 0; bin < counts.size(); ++bin) {
    if (counts[bin] == 0) continue;
    double at = (static_cast<double>(bin) - half) * width;
    const double end = at + width, density = static_cast<double>(counts[bin]) / width;
    while (end_of_cell(cell) <= at) ++cell;
    for (;; ++cell) {
      const double next = std::min(end, end_of_cell(cell));
      error += density * squared_error(at, next, levels[cell]);
      at = next;
      if (next >= end) break;
    }
  }
  return error;
}

/// KL(P || Q) as said in the header; infinite for a range that is no candidate.
double divergence(const Histogram& values, const std::vector<double>& levels, const Range& range, bool whole) {
  constexpr double kNone = std::numeric_limits<double>::infinity();
  const std::vector<int64_t>& counts = values.counts();
  const auto bins = static_cast<int64_t>(counts.size()), half = bins / 2;
  const double width = values.width();
  // A value at an end of the whole range is inside, and may be the first of its bin.
  const auto bin_of = [&](double edge) { return std::clamp<int64_t>(static_cast<int64_t>(edge) + half, 0, bins - 1); };
  const int64_t first = whole ? 0 : bin_of(std::floor(range.low / width));
  const int64_t last = whole ? bins - 1 : std::max(first, bin_of(std::ceil(range.high / width) - 1));
  std::vector<double> p(counts.begin() + first, counts.begin() + last + 1), q(p.size());
  const auto used_bins = std::count_if(p.begin(), p.end(), [](double count) { return count > 0; });
  if (!whole && used_bins < static_cast<int64_t>(levels.size())) return kNone;
  size_t begin = 0, cell = 0;
  const auto center = [&](size_t i) {
    return (static_cast<double>(first - half) + static_cast<double>(i) + 0.5) * width;
  };
  const auto in_cell = [&](size_t i) {
    return cell + 1 == levels.size() || center(i) < (levels[cell] + levels[cell + 1]) / 2;
  };
  double inside = 0;
  for (; begin < p.size(); ++cell) {
    double sum = 0, used = 0;
    size_t end = begin;
    for (; end < p.size() && in_cell(end); ++end) sum += p[end], used += p[end] > 0 ? 1 : 0;
    for (size_t i = begin; i < end; ++i) q[i] = p[i] > 0 ? sum / used : 0;
    inside += sum, begin = end;
  }
  if (inside == 0) return kNone;
  const auto outside = [&](int64_t from, int64_t to) {
    double sum = 0;
    for (int64_t bin = from; bin < to; ++bin) sum += static_cast<double>(counts[static_cast<size_t>(bin)]);
    return sum;
  };
  *std::find_if(p.begin(), p.end(), [](double c) { return c > 0; }) += outside(0, first);
  *std::find_if(p.rbegin(), p.rend(), [](double c) { return c > 0; }) += outside(last + 1, bins);
  const auto total = static_cast<double>(values.count());
  double sum = 0;
  for (size_t i = 0; i < p.size(); ++i) sum += p[i] > 0 ? p[i] / total * std::log(p[i] * inside / (q[i] * total)) : 0;
  return sum;
}

/// The first of the whole range's fractions with the least loss.
template <typename Loss>
Range least(const Range& whole, int candidates, const Loss& loss) {
  Range best = whole;
  double least = std::numeric_limits<double>::infinity();
  for (int i = 1; i <= candidates; ++i) {
    const Range range = scaled(whole, i, candidates);
    const double of_range = loss(range, i == candidates);
    if (of_range < least) best = range, least = of_range;
  }
  return best;
}

Range range_by_rule(const ActivationFormat& format, const Histogram& values) {
  const Range whole = absmax_range(format, values);
  switch (format.range.kind) {
    case ActivationRange::Kind::kAbsmax:
      return whole;
    case ActivationRange::Kind::kPercentile:
      return percentile_range(format, values);
    case ActivationRange::Kind::kMse:
      return least(whole, kMseCandidates,
                   [&](const Range& range, bool) { return squared_error(values, levels_of(format, range)); });
    case ActivationRange::Kind::kKl:
      return least(whole, kKlCandidates, [&](const Range& range, bool is_whole) {
        return divergence(values, levels_of(format, range), range, is_whole);
      });
    case ActivationRange::Kind::kOutput:
    case ActivationRange::Kind::kJoint:
    case ActivationRange::Kind::kDynamic:
    case ActivationRange::Kind::kFixed:
      break;
  }
  fail(ErrorKind::kFailed, "\"{}\": no range to find", to_string(format));
}

bool has_scale(const ActivationFormat& format, float low, float high) {
  return std::isnormal(scale_of_range(format, low, high).step);
}

}  // namespace

void add_range_needs(const ActivationFormat& format, Needs& needs) {
  constexpr int64_t kTokens = 512;
  if (!format.range.is_by_output()) {
    needs.histogram |= format.range.is_calibrated();
    return;
  }
  needs.second_moment = true;
  if (needs.sample == 0) needs.sample = kTokens;
}

std::optional<ActivationFormat> find_range(const ActivationFormat& format, const Histogram& values) {
  const Range whole = absmax_range(format, values);
  if (!has_scale(format, static_cast<float>(whole.low), static_cast<float>(whole.high))) return std::nullopt;
  const Range range = range_by_rule(format, values);
  const auto low = static_cast<float>(range.low), high = static_cast<float>(range.high);
  if (!has_scale(format, low, high)) return std::nullopt;
  return with_fixed_range(format, low, high);
}

}  // namespace bitloom
