#include "format/minifloat/cast.h"

#include <algorithm>
#include <cassert>
#include <cmath>
#include <limits>

#include "base/error.h"

namespace bitloom {
namespace {

/// q >= 0 to an integer. Exact: q is a float times a power of two, far from double's limits.
double round_significand(double q, CastRounding rounding, Rng* rng) {
  const double down = std::floor(q), rest = q - down;
  switch (rounding) {
    case CastRounding::kNearestEven:
      return rest > 0.5 || (rest == 0.5 && std::fmod(down, 2) != 0) ? down + 1 : down;
    case CastRounding::kNearestAway:
      return rest >= 0.5 ? down + 1 : down;
    case CastRounding::kNearestTowardZero:
      return rest > 0.5 ? down + 1 : down;
    case CastRounding::kTruncate:
      return down;
    case CastRounding::kStochastic:
      return std::floor(q + rng->uniform_double());
  }
  return down;
}

/// The code of a magnitude that is a level, 0 <= z <= v_max.
int magnitude_code(const MinifloatFormat& f, double z) {
  if (z < std::ldexp(1.0, 1 - f.bias)) return static_cast<int>(std::ldexp(z, f.bias - 1 + f.mantissa));
  const int p = std::ilogb(z);
  const int significand = static_cast<int>(std::ldexp(z, f.mantissa - p));
  return ((p + f.bias) << f.mantissa) + significand - (1 << f.mantissa);
}

uint8_t nan_code(const MinifloatFormat& f, bool negative, bool to_zero) {
  const int sign = negative ? 1 << (f.exponent + f.mantissa) : 0;
  const int all = (1 << (f.exponent + f.mantissa)) - 1;
  switch (f.reserve) {
    case Reserve::kFn:
      return static_cast<uint8_t>(sign | all);
    // The quiet NaN with only the top mantissa bit, as IEEE hardware makes it.
    case Reserve::kIeee:
      return static_cast<uint8_t>(sign | (all & ~((1 << (f.mantissa - 1)) - 1)));
    case Reserve::kFnuz:
      return static_cast<uint8_t>(1 << (f.exponent + f.mantissa));
    case Reserve::kNone:
      break;
  }
  if (!to_zero) refuse("{} has no code for NaN", MinifloatCodec::name(f));
  return 0;
}

uint8_t overflow_code(const MinifloatFormat& f, bool negative, Overflow overflow) {
  const int sign = negative ? 1 << (f.exponent + f.mantissa) : 0;
  const int top = magnitude_code(f, max_value(f));
  if (overflow == Overflow::kSaturate || f.reserve == Reserve::kNone) return static_cast<uint8_t>(sign | top);
  if (f.reserve == Reserve::kIeee) return static_cast<uint8_t>(sign | (top + 1));
  return nan_code(f, negative, false);
}

}  // namespace

uint8_t cast_minifloat(const MinifloatFormat& f, float x, const CastPolicy& policy, Rng* rng) {
  assert(policy.rounding != CastRounding::kStochastic || rng != nullptr);
  const bool negative = std::signbit(x);
  if (std::isnan(x)) return nan_code(f, negative, policy.nan_to_zero);
  if (std::isinf(x)) return overflow_code(f, negative, policy.overflow);
  const double a = std::abs(static_cast<double>(x));
  const int p = a == 0 ? 1 - f.bias : std::max(std::ilogb(a), 1 - f.bias);
  const double z = std::ldexp(round_significand(std::ldexp(a, f.mantissa - p), policy.rounding, rng), p - f.mantissa);
  if (z > max_value(f)) return overflow_code(f, negative, policy.overflow);
  const int code = magnitude_code(f, z);
  const bool keep_sign = negative && (code != 0 || f.reserve != Reserve::kFnuz);
  return static_cast<uint8_t>(code | (keep_sign ? 1 << (f.exponent + f.mantissa) : 0));
}

std::optional<uint8_t> rescale_code(const MinifloatFormat& from, uint8_t code, int k, const MinifloatFormat& to) {
  const float wanted = std::ldexp(decode_minifloat(from, code), k);
  if (!std::isfinite(wanted)) return std::nullopt;
  const uint8_t target = cast_minifloat(to, wanted);
  if (decode_minifloat(to, target) != wanted) return std::nullopt;
  return target;
}

}  // namespace bitloom
