#pragma once
// The side term "low rank" (format/side/low_rank.h) beside a product, both factors read where they lie:
//
//   y += A z,   z = B x,   A [rows, r], B [r, cols]
//
// z is a product of its own, by the kernel of B's storage. Non-goals: factors other than integers of 8 bits with a
// scale for each component, which is what recipes give them; a matrix with others is decoded.

#include <cstdint>
#include <memory>
#include <vector>

#include "format/stored_matrix.h"

namespace bitloom {

class PackedLowRank {
 public:
  /// Null for factors that it does not read. `matrix` must outlive it.
  static std::unique_ptr<const PackedLowRank> open(const StoredMatrix& matrix);

  /// B, for a kernel; it too needs the matrix to live.
  const std::shared_ptr<const StoredMatrix>& inner() const { return inner_; }
  int64_t rank() const { return inner_->rows(); }
  /// Rows [first, last) of y [tokens, y_stride] += those of A z, z [tokens, rank]. A row's sum does not depend on the
  /// rows beside it.
  void add(int64_t first, int64_t last, int64_t tokens, const float* z, float* y, int64_t y_stride) const;

 private:
  PackedLowRank() = default;

  std::shared_ptr<const StoredMatrix> inner_;
  const std::byte* codes_ = nullptr;  // A^T, I8 [rank, rows]
  std::vector<float> scales_;         // of its components
  int64_t rows_ = 0;
};

}  // namespace bitloom
