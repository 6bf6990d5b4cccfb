#pragma once
// The base family "sign_rank1": signs times a scale of the row and one of the column (OneBit, Xu et al. 2024,
// 2402.11295, eq. 2-4; papers' column-wise page, 5.2), so that y = g * (S (h * x)).
//
//   value(r, c) = g(r) * h(c) * S(r, c),   S one of -1, +1
//
// Parts, for W [rows, cols]:
//   .signs      U8 [rows, ceil(cols / 8)]   bitstream rows (packing/bitstream.h), 1: +
//   .row_scales F16 [rows]                  g
//   .col_scales F16 [cols]                  h

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "format/family.h"

namespace bitloom {

struct SignRank1Storage {
  bool operator==(const SignRank1Storage&) const = default;
};

/// "sign_rank1", alone or with options, of which there are none: they go to `others`, or are an error (kUsage).
bool is_sign_rank1_spelling(std::string_view text);
SignRank1Storage parse_sign_rank1(std::string_view text, std::vector<std::string>* others = nullptr);
std::string to_string(const SignRank1Storage& storage);
std::vector<std::string> sign_rank1_option_names();

/// As OneBit counts: 1 + 16 / rows + 16 / cols.
double nominal_bits(const SignRank1Storage& storage, int64_t rows, int64_t cols);
std::vector<TensorPart> greatest_parts(const SignRank1Storage& storage, int64_t rows, int64_t cols);
inline bool has_fixed_sizes(const SignRank1Storage&) { return true; }

extern const FamilyRow kSignRank1Family;

/// A matrix over parts that somebody else owns. Error(kRefused), starting with `name`, for parts that are missing or do
/// not fit.
std::unique_ptr<const BaseMatrix> open_base(const std::string& name, const SignRank1Storage& storage, int64_t rows,
                                            int64_t cols, const std::vector<TensorPart>& parts);

/// The bytes of the parts, in the order of greatest_parts. signs [rows, cols], 1: +; row_scales [rows], col_scales
/// [cols], numbers of fp16.
std::vector<std::vector<std::byte>> pack_sign_rank1(const std::vector<uint8_t>& signs,
                                                    const std::vector<float>& row_scales,
                                                    const std::vector<float>& col_scales);

}  // namespace bitloom
