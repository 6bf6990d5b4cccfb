#pragma once
// A matrix in memory, fp32: the plain RowSource.

#include <algorithm>
#include <cassert>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/memory/row_source.h"

namespace bitloom {

class DenseMatrix final : public RowSource {
 public:
  /// values [rows, cols], row-major (asserted).
  DenseMatrix(int64_t rows, int64_t cols, std::vector<float> values)
      : rows_(rows), cols_(cols), values_(std::move(values)) {
    assert(static_cast<int64_t>(values_.size()) == rows_ * cols_);
  }
  int64_t rows() const override { return rows_; }
  int64_t cols() const override { return cols_; }
  int64_t stored_bytes() const override { return rows_ * cols_ * static_cast<int64_t>(sizeof(float)); }
  std::string storage() const override { return "F32"; }
  void decode_rows(int64_t begin, int64_t end, float* out) const override {
    std::copy(values_.begin() + begin * cols_, values_.begin() + end * cols_, out);
  }

  std::vector<float>& values() { return values_; }
  const std::vector<float>& values() const { return values_; }

 private:
  int64_t rows_, cols_;
  std::vector<float> values_;
};

inline RowSourcePtr dense_matrix(int64_t rows, int64_t cols, std::vector<float> values) {
  return std::make_shared<const DenseMatrix>(rows, cols, std::move(values));
}

/// A vector, [1, n], each value rounded to fp32.
inline RowSourcePtr dense_vector(const std::vector<double>& values) {
  std::vector<float> rounded(values.begin(), values.end());
  const auto count = static_cast<int64_t>(rounded.size());
  return dense_matrix(1, count, std::move(rounded));
}

}  // namespace bitloom
