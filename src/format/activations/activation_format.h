#pragma once
// How the activations that an input's readers read are rounded: a scalar format, who shares a scale, and how the range
// that the levels cover is found: in the very values (dynamic), or beforehand, on calibration text (static).

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "format/activations/channel_moves.h"
#include "format/format.h"
#include "format/scale.h"

namespace bitloom {

/// What the levels cover.
struct ActivationRange {
  enum class Kind {
    kDynamic,     // the values that share a scale, whatever they are
    kAbsmax,      // of the calibration tokens: all values,
    kPercentile,  // all but the rarest: `percentile` percent of them on each side,
    kMse,         // the range of the least squared error,
    kKl,          // or of the least Kullback-Leibler divergence of histograms (observe/activation_range.h),
    kOutput,      // or of the least error of what the readers make of them (round/fpq/format_search.h),
    kJoint,       // and with it the format, of all eXmY of as many bits
    kFixed,       // [low, high]: what came of one of these
  };
  Kind kind = Kind::kDynamic;
  double percentile = 99.9;
  float low = 0, high = 0;  // of kFixed; low = -high without zero points
  /// Whether calibration data has yet to say what it is.
  bool is_calibrated() const { return kind != Kind::kDynamic && kind != Kind::kFixed; }
  /// Whether it is found by what the readers make of the values.
  bool is_by_output() const { return kind == Kind::kOutput || kind == Kind::kJoint; }
  bool operator==(const ActivationRange&) const = default;
};

/// x [tokens, channels], in fp32, ties to even; v_max is the largest level that both signs have (127 of int8).
///   symmetric:   x' = s * nearest_level(x / s),                      s = max|x| / v_max
///   asymmetric:  x' = s * (clamp(rint(x / s) + z, 0, 2^b - 1) - z),  s = (hi - lo) / (2^b - 1),  z = rint(-lo / s),
///                lo <= 0 <= hi
///   E8M0:        symmetric, s = 2^mx_exponent(max|x|)                (OCP MX)
///   E4M3, two-level:  s = t * E4M3FN(max|x| / v_max / t),  t = max|x| of the token / (v_max * 448)   (NVFP4)
///   shifted:     x'_c = 2^-b_c s * nearest_level(2^b_c x_c / s), b_c of channel c   (LLM-FP4's pre-shifted exponent
///   bias)
///   reassembled:  x' = r(y), y of x as format/activations/channel_moves.h says: what the matrices read that were
///   rewritten for it staggered:    x'_i = r(y_i + o_i s), s found in y, of the parts i of a split channel (o as it
///   says there)
/// A range that was found beforehand stands for max|x|, or for [lo, hi]; of two-level scales for t's alone. Values
/// beyond it become the outermost levels.
///   clipped:     max|x|, or lo and hi, times a ratio below 1 (QuaRot: 0.9)
///   rotated:     x' = Q^T r(Q x), r as above, Q [channels, channels] a random block Hadamard rotation, that of a
///                frame's input (format/side/frame.h) with as great a block and this seed (QuaRot, Ashkboos et
///                al., 2024, section 4): outliers are spread over their block, or all channels, before values are
///                rounded
struct ActivationFormat {
  enum class Granularity {
    kTensor,  // all tokens of a pass that the input's readers read
    kToken,
    kGroup,  // `group` neighbouring channels of a token (the last group may be shorter)
  };
  Format format = IntFormat{8, false};
  bool asymmetric = false;  // integers only
  Granularity granularity = Granularity::kToken;
  int64_t group = 0;
  ScaleType scale = ScaleType::kF32;  // or, of groups, kE8M0, kE4M3TwoLevel
  MxMode mx_mode = MxMode::kFloor;    // of kE8M0
  ActivationRange range;
  bool shifted = false;         // of eXmY with a range found beforehand: a power of two for each channel,
  std::vector<uint8_t> shifts;  // once it is found: b [channels], each 0 .. 2^X - 1
  float clip = 1;               // share of a dynamic range that the levels cover
  int64_t rotation = 0;         // greatest block, a power of two, or kWholeWidth; 0: not rotated
  uint64_t seed = 0;            // of the rotation
  ChannelMoves moves;           // made before values are rounded; not of shifted or rotated formats
  bool staggered = false;       // of integers with moves: equal parts are rounded from other places of a step
  bool operator==(const ActivationFormat&) const = default;
};

/// FORMAT followed by, in any order,
///   -token -tensor -gN               who shares a scale; one of them
///   -asym                            a zero point beside each scale (integers)
///   -e8m0 -e4m3x                     the groups' scales are powers of two, or two-level; default fp32
///   -floor -ceil -rceil -even        how the power of two is chosen; default -floor
///   -absmax -pP -mse -kl             the range is found beforehand on calibration text; of -tensor, and the first two
///                                    of -e4m3x
///   -output -joint                   likewise, with the matrices that read the input; -joint finds the eXmY of as many
///                                    bits, too. Of -tensor and eXmY
///   -at[HIGH] -at[LOW;HIGH]          it is this one (-at[LOW;HIGH] of -asym)
///   -shift                           with -output or -joint: channels of smaller values are raised by powers of two
///   -shift[DIGITS]                   with -at: by these; a digit for each channel, 0 to 9 and a to v (31)
///   -clipR                           R from 0.1 to 1 times the range of the very values; of dynamic ranges in fp32
///   -hadN -hadfull -seedS            rotated, as +frame-inN-seedS; a range of these values is not found, but given
///   -reassembled[MOVES]              channels moved first: "12>7=3;40>7=3", as format/activations/channel_moves.h says
///   -staggered[MOVES]                likewise, and equal parts staggered (integers)
/// or one of the schemes that storages have in place of FORMAT, -gN and the scale: "mxfp4", "mxfp8e4m3", "nvfp4".
///   "int8-token"   "e4m3fn-tensor-p99.9"   "int8-g128"   "int8-asym-tensor-at[-0.5;3.25]"   "mxfp4-rceil"
/// parse_activation_format(to_string(f)) == f. Error(kUsage) names the part, the allowed ones, the nearest spelling;
/// for what means nothing, such as a static range whose scale is 0, the reason.
ActivationFormat parse_activation_format(std::string_view text);
std::string to_string(const ActivationFormat& format);
/// The same without the numbers of a fixed range and of shifts, "int8-tensor-at[...]", and without moves: of many
/// inputs in one line.
std::string kind_text(const ActivationFormat& format);

/// The format once calibration has said what it covers, with -at in place of the rule. `low` is unused of symmetric
/// ones.
ActivationFormat with_fixed_range(ActivationFormat format, float low, float high);
/// The format with ranges found as it is read: those of each token in place of one for all, and no shifts.
ActivationFormat with_dynamic_range(ActivationFormat format);
/// Whether `found` may be what calibration made of `rule`, up to the numbers.
bool may_come_of(const ActivationFormat& rule, const ActivationFormat& found);

/// s and z of a range, as said above; z is 0 of symmetric formats. Not of E8M0, and of two-level scales t.
struct ActivationScale {
  float step = 0, zero = 0;
};
ActivationScale scale_of_range(const ActivationFormat& format, float low, float high);

}  // namespace bitloom
