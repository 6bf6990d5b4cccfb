#pragma once
// The base family "partial": a part of the weights in 8 bits, the others as signs (PB-LLM, Shang et al. 2023; papers'
// column-wise page, section 6).
//
//   masked weight   low_r + step_r code          any other   mu_r + alpha_r or mu_r - alpha_r
//
// Parts, for W [rows, cols]:
//   .mask     U8 [rows, ceil(cols / 8)]   bitstream rows (packing/bitstream.h), 1: masked
//   .signs    U8 [rows, ceil(cols / 8)]   1: +; 0 where masked
//   .codes    U8 [n]                      of the masked weights, row after row
//   .scales   F16 [rows, 4]               mu alpha low step

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "format/family.h"

namespace bitloom {

struct PartialStorage {
  double share = 0.1;  // of the weights that may be masked, at most
  bool operator==(const PartialStorage&) const = default;
};

/// "partial" and a digit.
bool is_partial_spelling(std::string_view text);
/// "partial0.1". Error(kUsage) for a share outside 0 to 1; unknown options go to `others`, or are an error.
PartialStorage parse_partial(std::string_view text, std::vector<std::string>* others = nullptr);
std::string to_string(const PartialStorage& storage);
std::vector<std::string> partial_option_names();

/// As PB-LLM counts: 1 and 8 bits, the mask left out.
double nominal_bits(const PartialStorage& storage, int64_t rows, int64_t cols);
std::vector<TensorPart> greatest_parts(const PartialStorage& storage, int64_t rows, int64_t cols);
/// The number of masked weights is each matrix's own.
inline bool has_fixed_sizes(const PartialStorage&) { return false; }

extern const FamilyRow kPartialFamily;

/// Numbers of a row.
struct PartialScales {
  float mu = 0, alpha = 0, low = 0, step = 0;
};

std::unique_ptr<const BaseMatrix> open_base(const std::string& name, const PartialStorage& storage, int64_t rows,
                                            int64_t cols, const std::vector<TensorPart>& parts);

/// The bytes of the parts, in the order of greatest_parts. mask, codes [rows, cols]: of a masked weight 8 bits, of any
/// other its sign, 1: +. scales [rows], rounded to fp16 here.
std::vector<std::vector<std::byte>> pack_partial(int64_t rows, int64_t cols, const std::vector<uint8_t>& mask,
                                                 const std::vector<uint8_t>& codes,
                                                 const std::vector<PartialScales>& scales);

}  // namespace bitloom
