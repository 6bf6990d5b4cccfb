#include "round/scale/scale_constraint.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace bitloom {
namespace {

using Constraint = ScaleConstraint;

/// The integers that log2(ratio) may be rounded to. Exact at powers of two: ratio is a quotient of floats in double.
std::vector<int> exponents(double ratio, Constraint constraint) {
  int exponent;
  const bool exact = std::frexp(ratio, &exponent) == 0.5;
  const int floor = exponent - 1, ceil = exact ? floor : exponent;
  switch (constraint) {
    case Constraint::kM1:
    case Constraint::kM2Ceil:
      return {ceil};
    case Constraint::kPow2Floor:
    case Constraint::kM2Floor:
      return {floor};
    case Constraint::kPow2Round:
    case Constraint::kM2Round:
      return {static_cast<int>(std::lround(std::log2(ratio)))};
    default:
      return floor == ceil ? std::vector<int>{ceil} : std::vector<int>{floor, ceil};
  }
}

bool is_storable(const GroupQuantizer& quantizer, float scale) {
  return scale > 0 && quantizer.round_to_stored(scale) == scale;
}

/// 2^e, or the nearest power of two that the type stores.
float power_of_two(const GroupQuantizer& quantizer, int e) {
  const float high = quantizer.round_to_stored(std::numeric_limits<float>::max());
  const float low = quantizer.round_to_stored(std::numeric_limits<float>::min());
  return std::ldexp(1.0f, std::clamp(e, ceil_log2(low), floor_log2(high)));
}

/// S_max / 2^k, with k reduced to where the type stores the quotient exactly.
float fraction_of(const GroupQuantizer& quantizer, float row_max, int k) {
  while (k > 0 && !is_storable(quantizer, std::ldexp(row_max, -k))) --k;
  return std::ldexp(row_max, -k);
}

}  // namespace

std::vector<GroupScale> constraint_options(const GroupQuantizer& quantizer, const GroupScale& scale, float row_max) {
  const Constraint constraint = quantizer.target().search.constraint;
  if (constraint == Constraint::kNone || scale.stored == 0) return {scale};
  std::vector<GroupScale> options;
  if (is_m2(constraint)) {
    for (const int k : exponents(static_cast<double>(row_max) / scale.stored, constraint)) {
      options.push_back(quantizer.with_scale(scale.range, fraction_of(quantizer, row_max, k)));
    }
    return options;
  }
  for (const int e : exponents(scale.stored, constraint)) {
    options.insert(options.begin(), quantizer.with_scale(scale.range, power_of_two(quantizer, e)));
  }
  return options;
}

void constrain_row(const GroupQuantizer& quantizer, const std::vector<WeightGroup>& groups,
                   std::vector<GroupScale>& scales) {
  if (quantizer.target().search.constraint == Constraint::kNone) return;
  float row_max = 0;
  for (const GroupScale& scale : scales) row_max = std::max(row_max, scale.stored);
  for (size_t g = 0; g < groups.size(); ++g) {
    const std::vector<GroupScale> options = constraint_options(quantizer, scales[g], row_max);
    const float unit = std::max(scales[g].range.high, -scales[g].range.low);
    const auto error = [&](const GroupScale& option) { return quantizer.error(groups[g], option, 2, unit); };
    scales[g] = options.size() == 2 && error(options[1]) < error(options[0]) ? options[1] : options[0];
  }
}

}  // namespace bitloom
