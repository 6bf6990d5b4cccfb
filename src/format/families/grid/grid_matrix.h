#pragma once
// A matrix of the base family "grid", over parts that somebody else owns.

#include <memory>
#include <string>
#include <vector>

#include "format/families/grid/grid_storage.h"

namespace bitloom {

class GridMatrix final : public BaseMatrix {
 public:
  /// Error(kRefused), starting with `name`, for parts that are missing or do not fit the storage.
  GridMatrix(const std::string& name, const GridStorage& storage, int64_t rows, int64_t cols,
             const std::vector<TensorPart>& parts);

  const GridStorage& storage() const { return storage_; }
  const ScaleShape& shape() const { return shape_; }
  /// 1 without two-level scales.
  float tensor_scale() const { return tensor_scale_; }

  void decode_rows(int64_t begin, int64_t end, float* out) const override;
  double nominal_bits() const override { return bitloom::nominal_bits(storage_, rows_, cols_); }
  void check_values(const std::string& name) const override;

  /// Codes of row r, unpacked: out [cols].
  void codes_of_row(int64_t r, uint8_t* out) const;
  /// Effective scales (tensor scale included) of scale row `sr`, and its zero points (0 when symmetric): [scale cols].
  void scales_of_row(int64_t sr, float* scales, uint8_t* zeros) const;
  /// As stored: bitstream rows of bitstream_bytes(bits, cols) bytes; scales [shape().rows, shape().cols].
  const std::byte* stored_codes() const { return codes_.bytes.data(); }
  const std::byte* stored_scales() const { return scales_.bytes.data(); }

 private:
  void check_codes(const std::string& name) const;
  void check_scales(const std::string& name) const;

  GridStorage storage_;
  int64_t rows_ = 0, cols_ = 0;
  ScaleShape shape_;
  int bits_ = 0;
  TensorPart codes_, scales_, zeros_;
  std::vector<float> decode_table_;  // by code
  float tensor_scale_ = 1.0f;
};

std::unique_ptr<const BaseMatrix> open_base(const std::string& name, const GridStorage& storage, int64_t rows,
                                            int64_t cols, const std::vector<TensorPart>& parts);

}  // namespace bitloom
