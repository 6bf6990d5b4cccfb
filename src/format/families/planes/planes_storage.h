#pragma once
// The base family "planes": binary planes with levels for every row and block of columns (BiLLM, Huang et al. 2024;
// papers' column-wise page, 4.4, 4.7 and 4.8). Every weight carries two bits, a sign s and a second bit t, each -1 or
// +1. In blocks of N columns,
//
//   salient column            mu_s + s alpha_1 + t alpha_2      two planes, one the residual of the other
//   any other, t = -1         mu_c + s alpha_c                  the concentrated weights
//              t = +1         mu_o + s alpha_o                  the outer ones
//
// Parts, for W [rows, cols] with B = ceil(cols / N) blocks:
//   .codes         U8 [tiles, bytes]           s and t, 1: +, in tiles of 16 rows (packing/plane_layout.h)
//   .salient       U8 [1, ceil(cols / 8)]      a bitstream, 1: a salient column; not with -residual, where all are
//   .levels        F16 [tiles, B, L, 16]       mu_c alpha_c mu_o alpha_o mu_s alpha_1 alpha_2, L = 7; with -zeromean
//                                              no mu, L = 4; with -residual the last three, or two, of these
//                  with -fp8 F8_E4M3, times
//   .level_scales  F16 [rows]

#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "format/family.h"

namespace bitloom {

struct PlanesStorage {
  int64_t block = 128;    // columns that share levels; the last block may be shorter
  bool residual = false;  // all columns are salient
  bool zero_mean = false;
  bool fp8 = false;
  /// Numbers per row and block.
  int64_t levels() const { return (residual ? 2 : 4) + (zero_mean ? 0 : residual ? 1 : 3); }
  /// Columns of a block in a matrix of so many.
  int64_t width(int64_t cols) const { return std::min(block, std::max<int64_t>(cols, 1)); }
  int64_t blocks(int64_t cols) const { return (cols + width(cols) - 1) / width(cols); }
  bool operator==(const PlanesStorage&) const = default;
};

/// "planes", alone or with options.
bool is_planes_spelling(std::string_view text);
/// "planes-g128", "planes-g64-residual-zeromean-fp8"; default -g128. Error(kUsage) for blocks of no columns; unknown
/// options go to `others`, or are an error.
PlanesStorage parse_planes(std::string_view text, std::vector<std::string>* others = nullptr);
std::string to_string(const PlanesStorage& storage);
std::vector<std::string> planes_option_names();

/// As BiLLM counts parameters: 1 + the share of salient columns, levels and the second bit of the others left out. Here
/// a tenth, as about 0.07 to 0.13 of the paper's models are; a matrix knows its own. With -residual 2.
double nominal_bits(const PlanesStorage& storage, int64_t rows, int64_t cols);
std::vector<TensorPart> greatest_parts(const PlanesStorage& storage, int64_t rows, int64_t cols);
inline bool has_fixed_sizes(const PlanesStorage&) { return true; }

extern const FamilyRow kPlanesFamily;

}  // namespace bitloom
