#pragma once
// The base family "vector", its first storage (others: block_vectors.h): G consecutive weights of a row are a sum of M
// vectors, one of each additive codebook, times a scale of the row (AQLM, Egiazarian et al. 2024, 2401.06118, eq. 2;
// papers' learned page, 1.1).
//
//   value(r, j G + c) = scale(r) sum_m C[m, code(r, j, m), c],   code < 2^B
//
// Parts, for W [rows, cols] of ceil(cols / G) groups; a last group that is shorter uses the first entries of its
// vectors:
//   .codes      U8 [bytes]         in tiles of 256 rows, those of the last as many as there are. Of a tile group by
//                                  group, of a group codebook by codebook: the codes of all its rows as a bitstream
//                                  (packing/bitstream.h), for B above 8 the low 8 bits of all, then the others
//   .codebooks  F16 [M, 2^B, G]
//   .scales     F16 [rows]         not negative

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "format/family.h"

namespace bitloom {

struct VectorStorage {
  int64_t codebooks = 2;  // M, 1 to 16
  int64_t bits = 8;       // B, 1 to 16
  int64_t group = 8;      // G, 1 to 64
  int64_t entries() const { return int64_t{1} << bits; }
  bool operator==(const VectorStorage&) const = default;
};

/// "aq" and a digit.
bool is_vector_spelling(std::string_view text);
/// "aq2x8-g8": two codebooks of 2^8 vectors of 8 weights; default -g8. Error(kUsage) for numbers out of range; options
/// that it does not know go to `others`, or are an error.
VectorStorage parse_vector(std::string_view text, std::vector<std::string>* others = nullptr);
std::string to_string(const VectorStorage& storage);
std::vector<std::string> vector_option_names();

/// (16 G M 2^B + rows ceil(cols / G) B M + 16 rows) / (rows cols), as AQLM counts (appendix H).
double nominal_bits(const VectorStorage& storage, int64_t rows, int64_t cols);
std::vector<TensorPart> greatest_parts(const VectorStorage& storage, int64_t rows, int64_t cols);
inline bool has_fixed_sizes(const VectorStorage&) { return true; }
/// 1 to 4 codebooks of this size.
std::vector<VectorStorage> at_all_widths(const VectorStorage& storage);

extern const FamilyRow kVectorFamily;

/// Error(kUsage), naming `name`, what a [rows, cols] matrix would take and what would be worth it, where that is more
/// than fp16: its codebooks then cost more than its codes save.
void check_worthwhile(const std::string& name, const VectorStorage& storage, int64_t rows, int64_t cols);

/// Where codes lie.
class VectorLayout {
 public:
  static constexpr int64_t kTileRows = 256;
  VectorLayout(const VectorStorage& storage, int64_t rows, int64_t cols);

  int64_t groups() const { return groups_; }
  int64_t codebooks() const { return codebooks_; }
  /// Rows of tile t.
  int64_t height(int64_t tile) const;
  int64_t tiles() const { return (rows_ + kTileRows - 1) / kTileRows; }
  int64_t low_bits() const { return low_bits_; }
  int64_t high_bits() const { return high_bits_; }
  /// Of the codes of one codebook in one group of a tile.
  int64_t low_bytes(int64_t tile) const;
  int64_t stream_bytes(int64_t tile) const;
  /// The first byte of those.
  int64_t place(int64_t tile, int64_t group, int64_t codebook) const;
  int64_t bytes() const;

 private:
  int64_t rows_, groups_, codebooks_, low_bits_, high_bits_;
};

}  // namespace bitloom
