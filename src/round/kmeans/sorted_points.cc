#include "round/kmeans/sorted_points.h"

#include <algorithm>
#include <array>
#include <bit>

#include "base/simd/lane_sums.h"
#include "base/simd/vector_clones.h"

namespace bitloom {
namespace {

constexpr int kDigitBits = 11, kDigits = 1 << kDigitBits;

/// Orders as the float does; both zeros are one.
uint32_t key_of(float x) {
  const auto bits = std::bit_cast<uint32_t>(x == 0 ? 0.0f : x);
  return (bits & 0x80000000u) != 0 ? ~bits : bits | 0x80000000u;
}

using Starts = std::array<uint32_t, kDigits>;

/// One stable pass of a radix sort over the digit at `shift` of each item; starts: how many items have each digit.
void radix_pass(const uint64_t* from, uint64_t* to, size_t n, int shift, Starts& starts) {
  uint32_t sum = 0;
  for (uint32_t& start : starts) {
    const uint32_t count = start;
    start = sum;
    sum += count;
  }
  for (size_t i = 0; i < n; ++i) to[starts[(from[i] >> shift) & (kDigits - 1)]++] = from[i];
}

/// Of items of which few lie far from their places; std::sort takes over where they do.
void sort_nearly_sorted(uint64_t* items, size_t n) {
  size_t steps = 8 * n;
  for (size_t i = 1; i < n; ++i) {
    const uint64_t item = items[i];
    size_t at = i;
    for (; at > 0 && items[at - 1] > item; --at) {
      if (steps-- == 0) {
        items[at] = item;
        return std::sort(items, items + n);
      }
      items[at] = items[at - 1];
    }
    items[at] = item;
  }
}

BITLOOM_VECTOR_CLONES double sum_of_values(const float* x, int64_t n) {
  return lane_sum<32>(
      n, [x](int64_t i) __attribute__((always_inline)) { return static_cast<double>(x[i]); });
}
BITLOOM_VECTOR_CLONES double sum_of_distances(const float* x, int64_t n, float middle) {
  return lane_sum<32>(
      n, [ x, middle ](int64_t i) __attribute__((always_inline)) {
        return static_cast<double>(x[i] < middle ? middle - x[i] : x[i] - middle);
      });
}

/// places = the whole part of factor (x - middle) + place, from 0 to last.
BITLOOM_VECTOR_CLONES void place_in_bins(const float* x, int64_t n, float factor, float middle, float place, float last,
                                         uint16_t* places) {
  for (int64_t i = 0; i < n; ++i) {
    const float at = factor * (x[i] - middle) + place, low = at > 0 ? at : 0;
    places[i] = static_cast<uint16_t>(static_cast<int32_t>(low < last ? low : last));
  }
}

constexpr int64_t kBinsALevel = 64, kLeastBins = 512, kMostBins = 32768, kPointsALevel = 8;
constexpr float kMeanDistances = 8;

}  // namespace

void GatheredPoints::add_sorted(std::vector<Point>& points) {
  std::sort(points.begin(), points.end(), [](const Point& a, const Point& b) { return a.value < b.value; });
  for (const Point& point : points) values_.push_back(point.value), masses_.push_back(point.mass);
}

/// All values are points.
void GatheredPoints::take_all() {
  values_.clear(), masses_.clear();
  add_sorted(counted_);
}

void GatheredPoints::gather(std::span<const float> x, std::span<const float> masses, std::span<const uint8_t> left_out,
                            int64_t levels) {
  counted_.clear(), x_.clear();
  for (size_t i = 0; i < x.size(); ++i) {
    if (!left_out.empty() && left_out[i] != 0) continue;
    counted_.push_back({x[i], masses.empty() ? 1.0f : masses[i]});
    x_.push_back(x[i]);
  }
  const auto n = static_cast<int64_t>(x_.size());
  const int64_t bins = std::max(kLeastBins, kBinsALevel * levels);
  if (bins > kMostBins || 2 * bins > n) return take_all();
  // Bins 1 to `bins`; what is below or above falls into one before or behind them.
  const auto middle = static_cast<float>(sum_of_values(x_.data(), n) / static_cast<double>(n));
  const auto distance = static_cast<float>(sum_of_distances(x_.data(), n, middle) / static_cast<double>(n));
  const float half = static_cast<float>(bins / 2), reach = kMeanDistances * distance;
  const float factor = reach > 1e-30f ? half / reach : 0.0f;
  places_.resize(x_.size()), bins_.assign(static_cast<size_t>(bins + 2), {});
  place_in_bins(x_.data(), n, factor, middle, half + 1, static_cast<float>(bins + 1), places_.data());
  values_.clear(), masses_.clear(), below_.clear(), above_.clear();
  for (size_t i = 0; i < counted_.size(); ++i) {
    const Point& point = counted_[i];
    const size_t place = places_[i];
    if (place == 0) below_.push_back(point);
    if (place == bins_.size() - 1) above_.push_back(point);
    const auto m = static_cast<double>(point.mass);
    bins_[place].mass += m, bins_[place].first += m * static_cast<double>(point.value);
  }
  add_sorted(below_);
  for (size_t place = 1; place + 1 < bins_.size(); ++place) {
    const Bin& bin = bins_[place];
    if (bin.mass == 0) continue;
    values_.push_back(static_cast<float>(bin.first / bin.mass)), masses_.push_back(static_cast<float>(bin.mass));
  }
  add_sorted(above_);
  if (static_cast<int64_t>(values_.size()) < kPointsALevel * levels) take_all();
}

void sort_places(std::span<const float> values, std::vector<uint32_t>& order, std::vector<uint64_t>& scratch) {
  // By the upper 22 bits of each key, 13 of them of the mantissa; what then lies in another order lies close.
  constexpr int kFirst = 64 - 2 * kDigitBits, kSecond = 64 - kDigitBits;
  const size_t n = values.size();
  if (scratch.size() < 2 * n) scratch.resize(2 * n);
  uint64_t *items = scratch.data(), *other = items + n;
  Starts low{}, high{};
  for (size_t i = 0; i < n; ++i) {
    items[i] = static_cast<uint64_t>(key_of(values[i])) << 32 | i;
    ++low[(items[i] >> kFirst) & (kDigits - 1)];
    ++high[items[i] >> kSecond];
  }
  if (n < 512) {
    std::sort(items, items + n);
  } else {
    radix_pass(items, other, n, kFirst, low);
    radix_pass(other, items, n, kSecond, high);
    sort_nearly_sorted(items, n);
  }
  order.resize(n);
  for (size_t i = 0; i < n; ++i) order[i] = static_cast<uint32_t>(items[i]);
}

SortedPoints::SortedPoints(std::span<const float> ascending, std::span<const float> masses)
    : values_(ascending), sums_(ascending.size() + 1) {
  double mass = 0, sum = 0;
  for (size_t i = 0; i < values_.size(); ++i) {
    const double m = masses.empty() ? 1.0 : static_cast<double>(masses[i]);
    mass += m, sum += m * static_cast<double>(values_[i]);
  }
  shift_ = mass > 0 ? sum / mass : 0;
  for (size_t i = 0; i < values_.size(); ++i) {
    const double m = masses.empty() ? 1.0 : static_cast<double>(masses[i]);
    const double x = static_cast<double>(values_[i]) - shift_;
    sums_[i + 1] = {sums_[i].mass + m, sums_[i].first + m * x, sums_[i].second + m * x * x};
  }
}

double SortedPoints::mean(int64_t first, int64_t last) const {
  const Sums &a = sums(first), &b = sums(last);
  if (b.mass > a.mass) return shift_ + (b.first - a.first) / (b.mass - a.mass);
  return size() == 0 ? 0 : value(std::min(first, size() - 1));
}

int64_t SortedPoints::first_above(double bound) const {
  return std::upper_bound(values_.begin(), values_.end(), bound,
                          [](double a, float b) { return a < static_cast<double>(b); }) -
         values_.begin();
}

}  // namespace bitloom
