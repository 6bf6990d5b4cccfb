#pragma once
// The base family "affine": integer codes with a scale and a zero point of any real value for every group of columns of
// a row (HQQ, Badri & Shaji 2023; SpQR, Dettmers et al. 2023; SliM-LLM, Huang et al. 2024; papers' column-wise
// page, 5.1 and 6). Grids with -asym differ in that their zero points are codes.
//
//   value(r, c) = scale(r, g) * (code(r, c) - zero(r, g)),   g = c / N
//
// Groups of columns may differ in width: all rows of group g have codes of b_g bits, and the codes of a row take as
// many bytes as if each had b. Scales and zero points are fp16, or codes of S bits whose own scale R rows of a group
// share:
//
//   scale(r, g) = low + step * code,   low and step of block r / R of group g;   zero points likewise
//
// Parts, for W [rows, cols] with G = ceil(cols / N) groups and B = ceil(rows / R) blocks:
//   .widths   U8 [G]                      b_g, 1 to 8; only with -mixed
//   .codes    U8 [rows, bytes]            group after group a bitstream (packing/bitstream.h), each padded to bytes
//   .scales   F16 [rows, G]               or with -sSxR U8 [rows, ceil(G S / 8)], bitstream rows
//   .zeros    likewise
//   .second   F16 [B, G, 4]               low and step of scales, low and step of zero points; only with -sSxR

#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "format/family.h"

namespace bitloom {

struct AffineStorage {
  int bits = 4;         // 1 to 8; with mixed widths their mean over columns
  int64_t group = 128;  // columns of a row that share a scale; the last group may be shorter
  bool mixed = false;
  int second_bits = 0;       // of a scale's code, 1 to 8; 0: scales and zero points in fp16
  int64_t second_rows = 16;  // that share low and step; a power of two up to 256, 16 where second_bits is 0
  /// Columns of a group in a matrix of so many.
  int64_t width(int64_t cols) const { return std::min(group, std::max<int64_t>(cols, 1)); }
  int64_t groups(int64_t cols) const { return (cols + width(cols) - 1) / width(cols); }
  /// Columns of group g.
  int64_t width_of(int64_t g, int64_t cols) const { return std::min(width(cols), cols - g * width(cols)); }
  int64_t blocks(int64_t rows) const { return (rows + second_rows - 1) / second_rows; }
  bool operator==(const AffineStorage&) const = default;
};

/// "affine" and a digit.
bool is_affine_spelling(std::string_view text);
/// "affine4-g64", "affine3-g16-s3x16", "affine2-g128-mixed"; default -g128, -sS means -sSx16. Error(kUsage) for widths
/// outside 1 to 8, groups of no columns, mixed widths of groups that are no multiple of 8; unknown options go to
/// `others`, or are an error.
AffineStorage parse_affine(std::string_view text, std::vector<std::string>* others = nullptr);
std::string to_string(const AffineStorage& storage);
std::vector<std::string> affine_option_names();

/// As SpQR counts: codes, scales and zero points of a group, and what blocks of them share.
double nominal_bits(const AffineStorage& storage, int64_t rows, int64_t cols);
std::vector<TensorPart> greatest_parts(const AffineStorage& storage, int64_t rows, int64_t cols);
/// 1 to 8 bits; -mixed, whose groups may have a bit more or less, 2 to 6.
std::vector<AffineStorage> at_all_widths(const AffineStorage& storage);
inline bool has_fixed_sizes(const AffineStorage&) { return true; }

extern const FamilyRow kAffineFamily;

/// Bytes of a row's codes, `widths` by group.
int64_t affine_row_bytes(const AffineStorage& storage, const std::vector<uint8_t>& widths, int64_t cols);

}  // namespace bitloom
