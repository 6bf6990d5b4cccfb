// Whether the values of a scaled grid are ones its format can mean.
#include <cmath>

#include "base/error.h"
#include "format/families/grid/grid_matrix.h"
#include "packing/bitstream.h"

namespace bitloom {

void GridMatrix::check_values(const std::string& name) const {
  check_scales(name);
  check_codes(name);
}

void GridMatrix::check_scales(const std::string& name) const {
  if (!std::isfinite(tensor_scale_) || tensor_scale_ <= 0) {
    fail(ErrorKind::kUnverified, "{}.tensor_scale: is {}, must be finite and positive", name, tensor_scale_);
  }
  const bool may_be_negative = allows_negative_scales(storage_);
  const float reach = storage_.asymmetric ? static_cast<float>((1 << bits_) - 1) : grid_of(storage_.format).max_abs;
  std::vector<float> scales(static_cast<size_t>(shape_.cols));
  std::vector<uint8_t> zeros(scales.size());
  for (int64_t r = 0; r < shape_.rows; ++r) {
    scales_of_row(r, scales.data(), zeros.data());
    for (int64_t c = 0; c < shape_.cols; ++c) {
      const float scale = scales[static_cast<size_t>(c)];
      if (!std::isfinite(scale) || (std::signbit(scale) && !may_be_negative)) {
        fail(ErrorKind::kUnverified, "{}.scales: [{}, {}] is {}, must be finite{}", name, r, c, scale,
             may_be_negative ? "" : " and not negative");
      }
      if (!std::isfinite(scale * reach)) {
        fail(ErrorKind::kUnverified, "{}.scales: [{}, {}] is {}, its largest value {} * {} overflows", name, r, c,
             scale, scale, reach);
      }
    }
    if (storage_.asymmetric &&
        !padding_is_zero(zeros_.bytes.data() + r * bitstream_bytes(bits_, shape_.cols), shape_.cols, bits_)) {
      fail(ErrorKind::kUnverified, "{}.zeros: padding bits of row {} are not zero", name, r);
    }
  }
}

void GridMatrix::check_codes(const std::string& name) const {
  std::vector<uint8_t> codes(static_cast<size_t>(cols_));
  for (int64_t r = 0; r < rows_; ++r) {
    codes_of_row(r, codes.data());
    for (int64_t c = 0; c < cols_ && !storage_.asymmetric; ++c) {
      const uint8_t code = codes[static_cast<size_t>(c)];
      if (!std::isfinite(decode_table_[code])) {
        fail(ErrorKind::kUnverified, "{}.codes: [{}, {}] is 0x{:02X}, no number of {}", name, r, c, code,
             name_of(storage_.format));
      }
    }
    if (!padding_is_zero(stored_codes() + r * bitstream_bytes(bits_, cols_), cols_, bits_)) {
      fail(ErrorKind::kUnverified, "{}.codes: padding bits of row {} are not zero", name, r);
    }
  }
}

}  // namespace bitloom
