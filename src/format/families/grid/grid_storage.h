#pragma once
// The base family "grid": every weight is a level of one scalar format times a scale that some weights share.
//
//   value(r, c) = scale(r, c) * level(code(r, c))                 symmetric
//   value(r, c) = scale(r, c) * (code(r, c) - zero(r, c))         asymmetric integers
//
// What a reader, a kernel and an exporter must know, and nothing else: how scales were searched is
// round/search.h.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "format/family.h"
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

struct GridStorage {
  Format format = IntFormat{4, false};
  bool asymmetric = false;  // integers only: a zero point of the same width per scale
  Granularity granularity;
  ScaleType scale = ScaleType::kF16;
  bool operator==(const GridStorage&) const = default;
};

/// FORMAT followed by any of, in any order:
///   -gN -row -tensor -blockRxC       who shares a scale; default -row
///   -asym                            zero points (integers)
///   -f32 -f16 -bf16 -e8m0 -e4m3x     the scale's type (-e4m3x: two-level, as in NVFP4). Default f16, or bf16 for
///                                    formats that reach beyond 512, whose scales would be subnormal in f16
/// "int4-g128", "int3-g64-asym", "e3m2-row", "nf4-g64", "table[-1;0;1]-g64". A named scheme stands for its parts and
/// may be varied: "mxfp4", "nvfp4". Error(kUsage) names the part, the allowed ones and the nearest spelling. Options
/// that are none of these are appended to `others`, for a reader of more (round/target.h); null: they are an error.
GridStorage parse_grid(std::string_view text, std::vector<std::string>* others = nullptr);
std::string to_string(const GridStorage& storage);
/// What parse_grid takes behind '-', for messages.
std::vector<std::string> grid_option_names();
/// "mxfp4", "mxfp6e2m3", "mxfp6e3m2", "mxfp8e4m3", "mxfp8e5m2", "mxint8", "nvfp4".
std::vector<std::string> named_schemes();

/// Error(kUsage), quoting `text`, for a combination that means nothing: -asym on a minifloat, groups of no columns, ...
void check_grid(const GridStorage& storage, std::string_view text);

/// Whether a scale may be negative: where the mirrored levels are others than the levels (full-range integers, NF4), so
/// that its sign says which side reaches farther. Not with zero points, nor for types without a sign (E8M0, E4M3).
bool allows_negative_scales(const GridStorage& storage);

/// The scale type a format gets unless one is named.
ScaleType default_scale(const Format& format);

/// Scales of a [rows, cols] matrix: [scale_rows, scale_cols], and the [group_rows, group_cols] weights that share one.
struct ScaleShape {
  int64_t rows = 1, cols = 1;
  int64_t group_rows = 1, group_cols = 1;
};
ScaleShape scale_shape(const GridStorage& storage, int64_t rows, int64_t cols);

/// Bits per weight as papers count them: element bits + scale (and zero point) bits per group, tails and the fp32 of
/// two-level scales ignored.
double nominal_bits(const GridStorage& storage, int64_t rows, int64_t cols);

/// dtype and shape of every part, for W [rows, cols] with element width b and scales [sr, sc] (see scale_shape):
///   .codes         U8 [rows, ceil(cols b / 8)]          bitstream rows (packing/bitstream.h)
///   .scales        F32 | F16 | BF16 | F8_E8M0 | F8_E4M3 [sr, sc]
///   .zeros         U8 [sr, ceil(sc b / 8)]              bitstream rows; asymmetric only
///   .tensor_scale  F32 [1]                              two-level scales only: every scale is multiplied by it
std::vector<TensorPart> greatest_parts(const GridStorage& storage, int64_t rows, int64_t cols);
inline bool has_fixed_sizes(const GridStorage&) { return true; }
/// Of integers int2 to int6 and int8; of a table with real scales the same, with the table at its own width. Every
/// other format has one width.
std::vector<GridStorage> at_all_widths(const GridStorage& storage);

/// Claims every text, so it stands last: its message for an unknown name is the one for all families.
extern const FamilyRow kGridFamily;

}  // namespace bitloom
