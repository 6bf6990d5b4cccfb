#pragma once
// The base family "trellis": tiles of 16 x 16 weights in a trellis code (trellis_code.h), one scale for the matrix.
//
//   value(r, c) = scale * v(r, c),   v the code's integers
//
// Meant for weights that a rotation has made alike and normal: with the side term "frame", whose vectors are the scales
// of rows and columns.
//
// Parts, for W [rows, cols], both padded to whole tiles, columns to two of them:
//   .codes   U16 [words]   super-tiles of 256 rows by 32 columns, those of the last row may have fewer rows; row of
//                          super-tiles by row of super-tiles. Of a super-tile word e of all its tiles lies together:
//                          both column halves of the upper 16 rows, then those of the next, and so on, so a vector
//                          holds one word of 32 tiles
//   .scale   F32 [1]

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "format/families/trellis/trellis_code.h"
#include "format/family.h"

namespace bitloom {

struct TrellisStorage {
  TrellisCode code;
  bool operator==(const TrellisStorage&) const = default;
};

/// "trellis" and a digit.
bool is_trellis_spelling(std::string_view text);
/// "trellis2", "trellis2.5": bits a weight, 1 to 5 in halves; -v1 or -v2 names the code (default: T6V2 up to 2 bits,
/// T6V1 above), -l12 takes states of 12 bits. Error(kUsage) for anything else; options that it does not know go to
/// `others`.
TrellisStorage parse_trellis(std::string_view text, std::vector<std::string>* others = nullptr);
std::string to_string(const TrellisStorage& storage);
std::vector<std::string> trellis_option_names();

/// Bits of the codes.
double nominal_bits(const TrellisStorage& storage, int64_t rows, int64_t cols);
std::vector<TensorPart> greatest_parts(const TrellisStorage& storage, int64_t rows, int64_t cols);
inline bool has_fixed_sizes(const TrellisStorage&) { return true; }
/// 1 to 5 bits in halves, each by its usual code.
std::vector<TrellisStorage> at_all_widths(const TrellisStorage& storage);

extern const FamilyRow kTrellisFamily;

/// Tiles of a [rows, cols] matrix, and where a tile's words lie among .codes.
class TrellisLayout {
 public:
  TrellisLayout(const TrellisCode& code, int64_t rows, int64_t cols);
  int64_t tile_rows() const { return tile_rows_; }
  int64_t tile_cols() const { return tile_cols_; }  // even: the last may hold no weight
  int64_t words() const { return tile_rows_ * tile_cols_ * words_; }
  /// Word e of the tile is first + e * stride.
  struct Place {
    int64_t first, stride;
  };
  Place place(int64_t tile_row, int64_t tile_col) const;

 private:
  int64_t tile_rows_, tile_cols_, words_;
};

}  // namespace bitloom
