#include "format/expected_error/expected_error.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

namespace bitloom {
namespace {

double decibels(double signal, double noise) {
  return noise > 0 ? 10 * std::log10(signal / noise) : std::numeric_limits<double>::infinity();
}

/// The best of `steps` + 1 clips from low to high, in equal ratios.
ExpectedError best_between(const Grid& grid, const Density& density, double low, double high, int steps) {
  ExpectedError best = expected_error(grid, density, low);
  for (int i = 1; i <= steps; ++i) {
    const ExpectedError other =
        expected_error(grid, density, low * std::pow(high / low, static_cast<double>(i) / steps));
    if (other.mse < best.mse) best = other;
  }
  return best;
}

}  // namespace

double ExpectedError::sqnr() const { return decibels(power, mse); }

double ExpectedError::dot_sqnr() const {
  return decibels(power * power, 2 * mse * power + mse * mse + 2 * x_error * x_error + 4 * mse * x_error);
}

ExpectedError expected_error(const Grid& grid, const Density& density, double clip) {
  ExpectedError result{clip};
  const double scale = clip / grid.levels.back();
  Moments before;
  for (size_t i = 0; i < grid.levels.size(); ++i) {
    const double level = scale * grid.levels[i];
    const bool last = i + 1 == grid.levels.size();
    const Moments m = density.below(last ? density.limit : (level + scale * grid.levels[i + 1]) / 2);
    const Moments cell = {m.mass - before.mass, m.mean - before.mean, m.square - before.square};
    result.mse += cell.square - 2 * level * cell.mean + level * level * cell.mass;
    result.x_error += level * cell.mean - cell.square;
    before = m;
  }
  result.power = before.square;
  result.mse = std::max(result.mse, 0.0);  // sums of moments leave some 1e-16 of the power
  return result;
}

ExpectedError best_clip(const Grid& grid, const Density& density) {
  constexpr int kPerOctave = 64, kOctaves = 13;  // limit / 2^12 .. 2 limit
  constexpr size_t kValleys = 4;
  const double step = std::exp2(1.0 / kPerOctave);
  std::vector<ExpectedError> tried;
  for (int i = 0; i <= kPerOctave * kOctaves; ++i)
    tried.push_back(expected_error(grid, density, 2 * density.limit * std::exp2((i / double{kPerOctave}) - kOctaves)));
  // The error has a valley wherever a level passes where many numbers lie, so the best few places are looked at
  // closely.
  std::stable_sort(tried.begin(), tried.end(), [](const auto& a, const auto& b) { return a.mse < b.mse; });
  ExpectedError best = tried.front();
  for (size_t i = 0; i < kValleys; ++i) {
    double width = step;
    ExpectedError valley = tried[i];
    for (const int steps : {32, 16, 16, 16}) {
      valley = best_between(grid, density, valley.clip / width, valley.clip * width, steps);
      width = std::pow(width, 2.0 / steps);
    }
    if (valley.mse < best.mse) best = valley;
  }
  return best;
}

}  // namespace bitloom
