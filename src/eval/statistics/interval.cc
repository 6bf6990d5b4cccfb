#include "eval/statistics/interval.h"

#include <fmt/format.h>

#include <algorithm>
#include <cassert>
#include <cmath>
#include <numbers>
#include <numeric>
#include <vector>

namespace bitloom {
namespace {

constexpr int64_t kLeastUnits = 8;
constexpr int64_t kBlock = 64;

/// P(|T| <= t) for integer degrees of freedom n, theta = atan(t / sqrt n) (Abramowitz and Stegun 26.7.3 and 26.7.4):
///   n odd   2/pi (theta + sin theta (cos theta + 2/3 cos^3 theta + ... + 2*4..(n-3) / 3*5..(n-2) cos^(n-2) theta))
///   n even  sin theta (1 + 1/2 cos^2 theta + 1*3/2*4 cos^4 theta + ... + 1*3..(n-3) / 2*4..(n-2) cos^(n-2) theta)
double student_two_sided(double t, int64_t n) {
  const double theta = std::atan(t / std::sqrt(static_cast<double>(n)));
  const double c = std::cos(theta), s = std::sin(theta);
  const bool odd = n % 2 == 1;
  double term = odd ? c : 1.0, sum = 0;
  for (int64_t power = odd ? 1 : 0; power <= n - 2; power += 2) {
    sum += term;
    term *= c * c * static_cast<double>(power + 1) / static_cast<double>(power + 2);
  }
  return odd ? 2 / std::numbers::pi * (theta + s * sum) : s * sum;
}

/// Lengths of the units that `counts` are cut into.
std::vector<int64_t> blocks_of(std::span<const int64_t> counts, int64_t block) {
  std::vector<int64_t> out;
  for (const int64_t count : counts)
    for (int64_t done = 0; done < count; done += block) out.push_back(std::min(block, count - done));
  return out;
}

/// Half the width of the interval of `mean` over units of these lengths (the formula of the header).
double half_width(std::span<const double> values, std::span<const int64_t> units, double mean) {
  double square = 0;
  size_t at = 0;
  for (const int64_t length : units) {
    double deviation = 0;
    for (int64_t i = 0; i < length; ++i) deviation += values[at++] - mean;
    square += deviation * deviation;
  }
  const auto n = static_cast<double>(units.size());
  return student_t95(static_cast<int64_t>(units.size()) - 1) * std::sqrt(n / (n - 1) * square) /
         static_cast<double>(values.size());
}

}  // namespace

double student_t95(int64_t degrees) {
  assert(degrees >= 1);
  double low = 1.9, high = 12.8;  // t is 12.706 for one degree and falls to 1.95996
  for (int i = 0; i < 60; ++i) {
    const double middle = (low + high) / 2;
    (student_two_sided(middle, degrees) < 0.95 ? low : high) = middle;
  }
  return (low + high) / 2;
}

MeanInterval mean_interval(std::span<const double> values, std::span<const int64_t> counts) {
  assert(std::accumulate(counts.begin(), counts.end(), int64_t{0}) == static_cast<int64_t>(values.size()));
  MeanInterval out;
  out.mean = std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
  std::vector<int64_t> units(counts.begin(), counts.end());
  const bool windows = static_cast<int64_t>(units.size()) >= kLeastUnits;
  const int64_t block = std::clamp<int64_t>(static_cast<int64_t>(values.size()) / kLeastUnits, 1, kBlock);
  if (!windows) units = blocks_of(counts, block);
  if (units.size() < 2) {
    out.low = out.high = out.mean;
    out.basis = "none: a single scored token";
    return out;
  }
  const double half = half_width(values, units, out.mean);
  out.low = out.mean - half;
  out.high = out.mean + half;
  out.basis = windows ? fmt::format("Student t over {} windows", units.size())
                      : fmt::format("Student t over {} blocks of {} positions", units.size(), block);
  return out;
}

}  // namespace bitloom
