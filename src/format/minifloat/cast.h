#pragma once
// Casts of single numbers to a minifloat, with every policy that the field's tools differ in: the plain definition in
// exact arithmetic (papers' floating-point page, 0.2 and 2).

#include <cstdint>
#include <optional>

#include "base/rng.h"
#include "format/minifloat/minifloat.h"

namespace bitloom {

/// On the integer significand q = |x| / 2^(p - M): nearest with ties to even, away from zero or toward zero; truncate
/// the magnitude; or floor(q + u) with u uniform in [0, 1).
enum class CastRounding { kNearestEven, kNearestAway, kNearestTowardZero, kTruncate, kStochastic };

/// What becomes of values whose rounded magnitude exceeds the largest finite one, and of infinities. Saturating: the
/// largest finite value. Not saturating: infinity where the format has one, else NaN where it has one (OCP FP8's
/// table), else the largest finite value.
enum class Overflow { kSaturate, kNonSaturate };

struct CastPolicy {
  CastRounding rounding = CastRounding::kNearestEven;
  Overflow overflow = Overflow::kSaturate;
  bool nan_to_zero = false;  // for formats without NaN, which otherwise refuse one
};

/// Code of x. The sign is kept where the format has -0. Error(kRefused) for a NaN that the format cannot store, unless
/// nan_to_zero. `rng` is needed, and one number of it used, for kStochastic only.
uint8_t cast_minifloat(const MinifloatFormat& format, float x, const CastPolicy& policy = {}, Rng* rng = nullptr);

/// The code of value(code) * 2^k in `to` when that is exact, else nullopt.
std::optional<uint8_t> rescale_code(const MinifloatFormat& from, uint8_t code, int k, const MinifloatFormat& to);

/// FP4 to FP8 in one shift (page 5.5): value(c8) = value(c) * 2^-14 and * 2^-6, zero and the subnormal included. The
/// constant joins the output scale.
inline constexpr int kE2M1ToE5M2Exponent = -14, kE2M1ToE4M3Exponent = -6;
constexpr uint8_t shift_e2m1_to_e5m2(uint8_t c) { return static_cast<uint8_t>(((c & 8) << 4) | ((c & 7) << 1)); }
constexpr uint8_t shift_e2m1_to_e4m3(uint8_t c) { return static_cast<uint8_t>(((c & 8) << 4) | ((c & 7) << 2)); }

}  // namespace bitloom
