#pragma once
// A storage scheme for one matrix: format, who shares a scale, what a scale may be, how its range is chosen. All values,
// all printable: parse_spec(to_string(s)) == s.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "format/format.h"

namespace bitloom {

/// Who shares a scale, W [rows, cols].
struct Granularity {
  enum class Kind { kTensor, kRow, kGroup, kBlock } kind = Kind::kRow;
  int64_t group = 0;       // kGroup: consecutive columns of a row that share a scale (the last group may be shorter);
                           // kBlock: columns of a block
  int64_t block_rows = 0;  // kBlock
  bool operator==(const Granularity&) const = default;
};

/// What a scale may be, as stored.
enum class ScaleType {
  kF32, kF16, kBF16,
  kE8M0,           // OCP MX: a power of two, one byte
  kE4M3TwoLevel,   // NVFP4: E4M3FN per group times one fp32 per tensor
};

/// E8M0 exponent selection (papers' floating-point page, 3.3).
enum class MxMode { kFloor, kCeil, kRceil, kEven };

/// Restrictions on real scales (ZeroQuant-FP; floating-point page, 5.4). M1: powers of two, rounded up.
/// M2: per row S_max / 2^k, k by the rounding named.
enum class ScaleConstraint { kNone, kM1, kM2Ceil, kM2Round, kM2Floor, kM2Mse };

/// How the range [-r, r] (or [lo, hi]) that the levels must cover is found.
struct RangeRule {
  enum class Kind { kAbsmax, kPercentile, kMse } kind = Kind::kAbsmax;
  double percentile = 99.9;     // of |w|, in percent
  double mse_exponent = 2.4;    // GPTQ's clip search: 80 steps of 1 % and |error|^2.4
  bool operator==(const RangeRule&) const = default;
};

struct QuantSpec {
  Format format = IntFormat{4, false};
  bool asymmetric = false;  // integers only: a zero point of the same width per scale
  Granularity granularity;
  ScaleType scale = ScaleType::kF16;
  MxMode mx_mode = MxMode::kFloor;
  ScaleConstraint constraint = ScaleConstraint::kNone;
  RangeRule range;
  Ties ties = Ties::kEven;
  bool operator==(const QuantSpec&) const = default;
};

/// FORMAT[-gN|-row|-tensor|-blockRxC][-asym][-narrow][-f32|-f16|-bf16|-e8m0|-pow2..][-mse|-pP]...: "int4-g128",
/// "int3-g64-asym", "e3m2-row", "nf4-g64"; and the named schemes "mxfp4", "mxfp6e2m3", "mxfp6e3m2", "mxfp8e4m3",
/// "mxfp8e5m2", "mxint8", "nvfp4". Error(kUsage) names the part, the allowed ones and the nearest spelling.
QuantSpec parse_spec(std::string_view text);
std::string to_string(const QuantSpec& spec);
std::vector<std::string> named_schemes();

/// Scales of a [rows, cols] matrix: [scale_rows, scale_cols].
struct ScaleShape {
  int64_t rows = 1, cols = 1;
};
ScaleShape scale_shape(const QuantSpec& spec, int64_t rows, int64_t cols);

/// Bits per weight as papers count them: element bits + scale (and zero point) bits per group, tails ignored.
double nominal_bits(const QuantSpec& spec, int64_t rows, int64_t cols);

}  // namespace bitloom
