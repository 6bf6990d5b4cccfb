#pragma once
// A storage scheme for one matrix: format, who shares a scale, what a scale may be, how its range is chosen. All
// values, all printable: parse_spec(to_string(s)) == s.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "format/format.h"
#include "format/scale.h"

namespace bitloom {

/// Who shares a scale, W [rows, cols].
struct Granularity {
  enum class Kind { kTensor, kRow, kGroup, kBlock } kind = Kind::kRow;
  int64_t group = 0;       // kGroup: consecutive columns of a row that share a scale (the last group may be shorter);
                           // kBlock: columns of a block
  int64_t block_rows = 0;  // kBlock
  bool operator==(const Granularity&) const = default;
};

/// Restrictions on real scales (ZeroQuant-FP; floating-point page, 5.4). M1: powers of two, rounded up (so nothing
/// clips); the other kPow2 round the exponent down, to nearest, or to the neighbour with the smaller squared error. M2:
/// per row of scales, S_max / 2^k with k = R(log2(S_max / S)), R as named. Mind that M2's ceil makes scales smaller.
enum class ScaleConstraint {
  kNone,
  kM1,
  kPow2Round,
  kPow2Floor,
  kPow2Mse,
  kM2Ceil,
  kM2Round,
  kM2Floor,
  kM2Mse,
};

/// How the range [-r, r] (or [lo, hi]) that the levels must cover is found.
struct RangeRule {
  enum class Kind { kAbsmax, kPercentile, kMse } kind = Kind::kAbsmax;
  double percentile = 99.9;   // of |w|, in percent, by nearest rank; asymmetric: half of the rest is cut on each side
  double mse_exponent = 2.4;  // GPTQ's clip search: 80 steps of 1 % and |error|^2.4
  bool operator==(const RangeRule&) const = default;
};

struct QuantSpec {
  Format format = IntFormat{4, false};
  bool asymmetric = false;  // integers only: a zero point of the same width per scale
  Granularity granularity;
  ScaleType scale = ScaleType::kF16;
  MxMode mx_mode = MxMode::kFloor;
  BlockScaleFloor block_scale_floor = BlockScaleFloor::kSubnormal;
  ScaleConstraint constraint = ScaleConstraint::kNone;
  RangeRule range;
  Ties ties = Ties::kEven;
  bool operator==(const QuantSpec&) const = default;
};

/// FORMAT followed by any of, in any order:
///   -gN -row -tensor -blockRxC       who shares a scale; default -row
///   -asym                            zero points (integers)
///   -f32 -f16 -bf16 -e8m0 -e4m3x     the scale's type (-e4m3x: two-level, as in NVFP4). Default f16, or bf16 for
///   formats
///                                    that reach beyond 512, whose scales would be subnormal in f16
///   -floor -ceil -rceil -even        E8M0 exponent selection; default -floor
///   -sminnormal                      smallest two-level scale 2^-6 instead of 2^-9
///   -m1 -pow2round -pow2floor -pow2mse -m2ceil -m2round -m2floor -m2mse
///   -mse -mseE -pP                   clip search with |error|^E (default 2.4); P-th percentile; default: absmax
///   -tiesaway -tieszero              default: to even
/// "int4-g128", "int3-g64-asym", "e3m2-row", "nf4-g64", "table[-1;0;1]-g64". A named scheme stands for its parts and
/// may be varied: "mxfp4", "mxfp4-rceil", "nvfp4-mse". Error(kUsage) names the part, the allowed ones and the nearest
/// spelling.
QuantSpec parse_spec(std::string_view text);
std::string to_string(const QuantSpec& spec);
/// "mxfp4", "mxfp6e2m3", "mxfp6e3m2", "mxfp8e4m3", "mxfp8e5m2", "mxint8", "nvfp4".
std::vector<std::string> named_schemes();

/// Error(kUsage), quoting `text`, for a combination that means nothing: -asym on a minifloat, E8M0 with -m2, ...
void check_spec(const QuantSpec& spec, std::string_view text);

/// The scale type a format gets unless one is named.
ScaleType default_scale(const Format& format);

/// Scales of a [rows, cols] matrix: [scale_rows, scale_cols], and the [group_rows, group_cols] weights that share one.
struct ScaleShape {
  int64_t rows = 1, cols = 1;
  int64_t group_rows = 1, group_cols = 1;
};
ScaleShape scale_shape(const QuantSpec& spec, int64_t rows, int64_t cols);

/// Bits per weight as papers count them: element bits + scale (and zero point) bits per group, tails and the fp32 of
/// two-level scales ignored.
double nominal_bits(const QuantSpec& spec, int64_t rows, int64_t cols);

}  // namespace bitloom
