#pragma once
// What a scale may be, as stored. A scale is rounded to its type before any code is chosen, so that decoding is exact.

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/memory/dtype.h"
#include "format/codec.h"

namespace bitloom {

enum class ScaleType {
  kF32,
  kF16,
  kBF16,
  kE8M0,          // OCP MX: 2^(byte - 127), byte 255 is NaN
  kE4M3TwoLevel,  // NVFP4: E4M3FN per group times one fp32 per tensor
};

/// E8M0 exponent selection (papers' floating-point page, 3.3).
enum class MxMode { kFloor, kCeil, kRceil, kEven };

/// The smallest two-level group scale: E4M3's smallest subnormal 2^-9 (as Model-Optimizer; groups down to 8e-9 of the
/// tensor's maximum keep their resolution) or its smallest normal 2^-6 (as torchao).
enum class BlockScaleFloor { kSubnormal, kNormal };

/// Whether it is a floating-point number of its own, with a sign: F32, F16, BF16.
constexpr bool is_real(ScaleType type) { return type != ScaleType::kE8M0 && type != ScaleType::kE4M3TwoLevel; }

DType stored_dtype(ScaleType type);
/// Bits of one stored scale.
int scale_bits(ScaleType type);

/// The exponent e of the shared scale 2^e for a block whose largest magnitude is amax > 0, finite:
///   FLOOR: floor(log2 amax) - emax      CEIL: ceil(log2 amax) - emax      RCEIL: ceil(log2(amax * fp32(1 / v_max)))
///   EVEN : floor(log2 amax') - emax, amax' = amax rounded to M mantissa bits, half up
/// clamped to [-127, 127]. By bit extraction: float log2 is wrong just below powers of two.
int mx_exponent(float amax, MxMode mode, const FormatLimits& limits);

/// floor and ceil of log2 x for finite x > 0, exact, subnormals included.
int floor_log2(float x);
int ceil_log2(float x);

/// The stored scale nearest to `wanted` > 0 (finite), as a value; for two-level scales, `wanted` is relative to the
/// tensor scale. Never 0, never Inf, and level * scale stays finite for levels up to max_abs:
///   * too large: the largest scale of the type with finite decoded values; larger weights saturate
///   * below the smallest normal number of F16: rounded up, so that coarse subnormals do not clip the group
///   * too small: the smallest positive one (F32, BF16: smallest normal); weights then round to codes near zero
/// kE8M0: the nearest power of two above (mx_exponent chooses better when amax is known).
float round_scale(ScaleType type, float wanted, float max_abs, BlockScaleFloor floor = BlockScaleFloor::kSubnormal);

/// The largest two-level group scale: E4M3FN's maximum.
inline constexpr float kMaxBlockScale = 448.0f;
/// The fp32 scale of a tensor with two-level scales, from the one computed, amax / (6 * 448) for NVFP4: 1 for an
/// all-zero tensor, never subnormal, and small enough that scales and levels up to max_abs stay finite.
float round_tensor_scale(float wanted, float max_abs);

/// Writes and reads scale number `index` of an array in stored form. `value` must be exactly representable (assert).
/// A zero E8M0 scale (all-zero group) is stored as byte 0, 2^-127.
void store_scale(ScaleType type, float value, std::byte* data, int64_t index);
/// `count` scales from number `first` on, as stored (without the tensor scale).
void load_scales(ScaleType type, const std::byte* data, int64_t first, int64_t count, float* out);

}  // namespace bitloom
