#pragma once
// A matrix in quantized form: spec + codes + scales + side data. It knows how to decode itself and its true size; it
// does not know which method made it.
//
//   value(r, c) = scale(r, c) * level(code(r, c))                 symmetric
//   value(r, c) = scale(r, c) * (code(r, c) - zero(r, c))         asymmetric integers
//   scale(r, c) = stored scale of the group, times tensor_scale (one fp32 product) for two-level scales
//
// Parts, for W [rows, cols] with element width b and scales [sr, sc] (see scale_shape):
//   .codes         U8 [rows, ceil(cols b / 8)]          bitstream rows (packing/bitstream.h)
//   .scales        F32 | F16 | BF16 | F8_E8M0 | F8_E4M3 [sr, sc]
//   .zeros         U8 [sr, ceil(sc b / 8)]              bitstream rows; asymmetric only
//   .tensor_scale  F32 [1]                              two-level scales only

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/dtype.h"
#include "base/row_source.h"
#include "format/quant_spec.h"

namespace bitloom {

/// One stored piece of a quantized matrix: what a file holds under NAME + suffix.
struct TensorPart {
  std::string suffix;  // ".codes", ".scales", ".zeros", ".tensor_scale"
  DType dtype = DType::kU8;
  std::vector<int64_t> shape;
  std::span<const std::byte> bytes;
};

class QuantizedTensor final : public RowSource {
 public:
  /// From parts, which `owner` keeps alive (a mapped file, or a holder of vectors). Checks presence, dtypes, shapes and
  /// sizes, not values (see check_values). Error(kRefused) starts with `name`.
  static std::shared_ptr<const QuantizedTensor> from_parts(const std::string& name, const QuantSpec& spec, int64_t rows,
                                                           int64_t cols, const std::vector<TensorPart>& parts,
                                                           std::shared_ptr<const void> owner);

  /// dtype and shape of every part that this spec stores for a [rows, cols] matrix, bytes empty: what a writer must
  /// announce before quantizing.
  static std::vector<TensorPart> layout(const QuantSpec& spec, int64_t rows, int64_t cols);

  const QuantSpec& spec() const { return spec_; }
  /// In the order of layout().
  const std::vector<TensorPart>& parts() const { return parts_; }

  int64_t rows() const override { return rows_; }
  int64_t cols() const override { return cols_; }
  void decode_rows(int64_t begin, int64_t end, float* out) const override;
  int64_t stored_bytes() const override;
  std::string storage() const override { return to_string(spec_); }

  /// Codes of row r, unpacked: out [cols].
  void codes_of_row(int64_t r, uint8_t* out) const;
  /// Effective scales (tensor scale included) of scale row `sr`, and its zero points (0 when symmetric): [scale cols].
  void scales_of_row(int64_t sr, float* scales, uint8_t* zeros) const;

  /// Bits per weight: every stored byte of this matrix over its weights.
  double true_bits() const;

  /// Error(kUnverified), starting with `name`, for a code that is no number of the format, a scale that is not finite
  /// or negative, a value that is not finite, padding bits that are not zero.
  void check_values(const std::string& name) const;

 private:
  QuantizedTensor() = default;
  const std::byte* bytes_of_part(size_t index) const { return parts_[index].bytes.data(); }
  void check_codes(const std::string& name) const;
  void check_scales(const std::string& name) const;

  QuantSpec spec_;
  int64_t rows_ = 0, cols_ = 0;
  ScaleShape shape_;
  int bits_ = 0;
  std::vector<TensorPart> parts_;
  std::shared_ptr<const void> owner_;
  std::vector<float> decode_table_;  // by code
  float tensor_scale_ = 1.0f;
};

}  // namespace bitloom
