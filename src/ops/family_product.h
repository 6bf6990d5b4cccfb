#pragma once
// Products of base families that have a kernel of their own, which prepares its input itself.

#include <cstdint>
#include <memory>

#include "base/simd/cpu_features.h"
#include "format/stored_matrix.h"

namespace bitloom {

class FamilyProduct {
 public:
  virtual ~FamilyProduct() = default;
  /// Pieces begin at multiples of so many rows.
  virtual int64_t row_multiple() const = 0;
  /// Bytes at an address divisible by 64 that run() needs.
  virtual int64_t scratch_bytes() const = 0;
  /// Rows [first, last) of y [tokens, y_stride] = x [tokens, cols] W^T, of the base alone. The same bits whatever the
  /// rows beside them. Thread-safe.
  virtual void run(int64_t first, int64_t last, int64_t tokens, const float* x, float* y, int64_t y_stride,
                   std::byte* scratch) const = 0;
};

/// With `exact` sums of products are rounded to 24 bits or not at all, else to 16. `matrix` must outlive the product.
/// Null: no kernel for its base.
std::unique_ptr<const FamilyProduct> make_family_product(const StoredMatrix& matrix, Isa isa, bool exact);

}  // namespace bitloom
