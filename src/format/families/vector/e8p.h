#pragma once
// A storage of the family "vector": 8 consecutive weights of a row are one of 2^16 points of the lattice E8 + 1/4, E8P
// (QuIP#, Tseng et al. 2024, 2402.04396, section 4.2; papers' learned page, 8.3). Its codebook is made, not stored.
//
//   value(r, 8 j + i) = scale p_i,   p = s a + t / 4,   p in units of 1/4 an integer
//
//   a   the vector code >> 8 of a table of 256 in {1/2, 3/2, 5/2}^8: all 227 of squared norm at most 10, then the first
//       29 of the 56 of five 3/2 and three 1/2 (squared norm 12), both in lexicographic order, coordinate 0 first. (The
//       published list has another 29 of the 56, by no rule.)
//   s   signs: coordinate i < 7 is negative where bit i of the code is set; that of coordinate 7 makes the sum of s a
//       even, so that s a is in D8 + 1/2
//   t   1 where bit 7 is set, else -1: s a + t / 4 is in E8 shifted by 1/4, as D8 + 1/2 and D8 are E8
//
// Meant for weights that rotations of both sides have made alike and normal: with the side term "frame".
//
// Parts, for W [rows, cols]:
//   .codes  U16 [rows, ceil(cols / 8)]   a last point that has fewer weights uses its first coordinates
//   .scale  F32 [1]                      of a quarter: value = scale 4 p

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "format/family.h"

namespace bitloom {

inline constexpr int64_t kE8pGroup = 8;

/// a in halves, [256][8].
using E8pTable = std::array<std::array<int8_t, kE8pGroup>, 256>;
const E8pTable& e8p_table();
/// out [8]: 4 p, odd integers.
void decode_e8p(const E8pTable& table, uint16_t code, float* out);

struct E8pStorage {
  bool operator==(const E8pStorage&) const = default;
};

/// "e8p", alone or with options.
bool is_e8p_spelling(std::string_view text);
/// Options go to `others`, or are an Error(kUsage): it knows none.
E8pStorage parse_e8p(std::string_view text, std::vector<std::string>* others = nullptr);
inline std::string to_string(const E8pStorage&) { return "e8p"; }
std::vector<std::string> e8p_option_names();

/// 2, and what a last point of fewer weights wastes.
double nominal_bits(const E8pStorage& storage, int64_t rows, int64_t cols);
std::vector<TensorPart> greatest_parts(const E8pStorage& storage, int64_t rows, int64_t cols);
inline bool has_fixed_sizes(const E8pStorage&) { return true; }

extern const FamilyRow kE8pFamily;

/// A matrix over parts that somebody else owns. Error(kRefused), starting with `name`, for parts that are missing or do
/// not fit.
std::unique_ptr<const BaseMatrix> open_base(const std::string& name, const E8pStorage& storage, int64_t rows,
                                            int64_t cols, const std::vector<TensorPart>& parts);

/// The bytes of both parts. codes [rows, groups].
std::vector<std::vector<std::byte>> pack_e8p(std::span<const uint16_t> codes, float scale);

}  // namespace bitloom
