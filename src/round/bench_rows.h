#pragma once
// For benchmarks only: weights that cost nothing to read.

#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

#include "base/memory/row_source.h"
#include "base/rng.h"

namespace bitloom::testing {

/// Normal values; every row is the same.
class RandomRows final : public RowSource {
 public:
  RandomRows(int64_t rows, int64_t cols) : rows_(rows), cols_(cols), row_(static_cast<size_t>(cols)) {
    Rng rng(1, 1);
    for (float& value : row_) value = static_cast<float>(rng.normal());
  }
  int64_t rows() const override { return rows_; }
  int64_t cols() const override { return cols_; }
  void decode_rows(int64_t begin, int64_t end, float* out) const override {
    for (int64_t r = begin; r < end; ++r)
      std::memcpy(out + (r - begin) * cols_, row_.data(), row_.size() * sizeof(float));
  }
  int64_t stored_bytes() const override { return 0; }
  std::string storage() const override { return "random"; }

 private:
  int64_t rows_, cols_;
  std::vector<float> row_;
};

}  // namespace bitloom::testing
