#include "round/kmeans/sorted_points.h"

#include <algorithm>
#include <array>
#include <bit>

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

}  // namespace

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

std::vector<uint32_t> sampled_rows(int64_t rows, int64_t levels, int64_t a_level) {
  const int64_t count = std::min(rows, std::max(kLeastSampledRows, a_level * levels));
  std::vector<uint32_t> sample;
  for (int64_t i = 0; i < count; ++i) sample.push_back(static_cast<uint32_t>(i * rows / count));
  return sample;
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
