#include "format/grid.h"

#include <algorithm>
#include <cassert>
#include <cmath>
#include <limits>

namespace bitloom {
namespace {

/// Sign of x - (a + b) / 2, exact: the sum of two floats as an unevaluated pair of doubles (Knuth's TwoSum), since
/// neighbours in a table may differ by more than 2^29.
int compare_with_middle(float x, float a, float b) {
  const double sum = static_cast<double>(a) + b;
  const double b_part = sum - a;
  const double rest = (a - (sum - b_part)) + (b - b_part);
  const double difference = 2.0 * x - sum;
  if (difference != 0) return difference > 0 ? 1 : -1;
  return rest == 0 ? 0 : (rest < 0 ? 1 : -1);
}

/// Whether a tie between levels i and i + 1 goes to level i + 1.
bool tie_goes_up(const Grid& grid, size_t i, Ties ties) {
  switch (ties) {
    case Ties::kEven:
      return grid.even_is_upper[i] != 0;
    // The middle of two levels has the sign of the one that is farther from zero; a middle at zero goes up.
    case Ties::kAway:
      return grid.levels[i] + grid.levels[i + 1] >= 0;
    case Ties::kTowardZero:
      return grid.levels[i] + grid.levels[i + 1] < 0;
  }
  return false;
}

}  // namespace

uint8_t encode_nearest(const Grid& grid, float x, Ties ties) {
  assert(!std::isnan(x));
  const auto& levels = grid.levels;
  const size_t above = static_cast<size_t>(std::upper_bound(levels.begin(), levels.end(), x) - levels.begin());
  size_t index = 0;
  if (above == levels.size()) {
    index = levels.size() - 1;
  } else if (above > 0) {
    const size_t below = above - 1;
    const int side = compare_with_middle(x, levels[below], levels[above]);
    index = side > 0 || (side == 0 && tie_goes_up(grid, below, ties)) ? above : below;
  }
  if (levels[index] == 0 && std::signbit(x) && grid.negative_zero >= 0) return static_cast<uint8_t>(grid.negative_zero);
  return grid.codes[index];
}

std::vector<float> rounding_thresholds(const Grid& grid, Ties ties) {
  constexpr float kInf = std::numeric_limits<float>::infinity();
  std::vector<float> thresholds;
  for (size_t i = 0; i + 1 < grid.levels.size(); ++i) {
    const float a = grid.levels[i], b = grid.levels[i + 1];
    const bool up = tie_goes_up(grid, i, ties);
    const auto rounds_up = [&](float x) {
      const int side = compare_with_middle(x, a, b);
      return side > 0 || (side == 0 && up);
    };
    // The middle rounded to a float is at most one step from the answer.
    float t = static_cast<float>((static_cast<double>(a) + b) / 2);
    while (rounds_up(t)) t = std::nextafter(t, -kInf);
    while (!rounds_up(t)) t = std::nextafter(t, kInf);
    thresholds.push_back(t);
  }
  return thresholds;
}

}  // namespace bitloom
