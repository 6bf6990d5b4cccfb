#pragma once
// Reading and making matrices of the base family "affine".

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "format/families/affine/affine_storage.h"

namespace bitloom {

/// A matrix over parts that somebody else owns. Error(kRefused), starting with `name`, for parts that are missing or do
/// not fit; widths are checked here, since where codes lie follows from them.
std::unique_ptr<const BaseMatrix> open_base(const std::string& name, const AffineStorage& storage, int64_t rows,
                                            int64_t cols, const std::vector<TensorPart>& parts);

/// Scale and zero point of a row's group, numbers of fp16; codes where they have a second level.
struct AffineScale {
  float scale = 0, zero = 0;
  uint8_t scale_code = 0, zero_code = 0;
  float value(int code) const { return scale * (static_cast<float>(code) - zero); }
};

/// What scales and zero points of a block share, numbers of fp16.
struct AffineSecond {
  float scale_low = 0, scale_step = 0, zero_low = 0, zero_step = 0;
  /// Scale and zero point by their codes.
  void decode(AffineScale& s) const {
    s.scale = scale_low + scale_step * static_cast<float>(s.scale_code);
    s.zero = zero_low + zero_step * static_cast<float>(s.zero_code);
  }
};

/// A matrix as it is chosen.
struct AffineValues {
  std::vector<uint8_t> widths;        // [groups], by group; used with mixed widths
  std::vector<uint8_t> codes;         // [rows, cols]
  std::vector<AffineScale> scales;    // [rows, groups]
  std::vector<AffineSecond> seconds;  // [blocks, groups]; with a second level
};
/// The bytes of the parts, in the order of greatest_parts. The widths' codes must take the bytes of the mean width.
std::vector<std::vector<std::byte>> pack_affine(const AffineStorage& storage, int64_t rows, int64_t cols,
                                                const AffineValues& values);

}  // namespace bitloom
