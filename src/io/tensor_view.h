#pragma once
// A named tensor in a mapped file: dtype, shape and the bytes, which stay valid while `owner` lives.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/memory/dtype.h"
#include "base/memory/row_source.h"
#include "io/mapped_file.h"

namespace bitloom {

struct TensorView {
  std::string name;
  DType dtype = DType::kF32;
  std::vector<int64_t> shape;  // row-major; empty means a scalar
  std::span<const std::byte> bytes;
  std::shared_ptr<const void> owner;
  std::string file;  // path, for messages
  // The file that holds `bytes`, for its release(); null when they lie in no mapped file.
  std::shared_ptr<const MappedFile> mapping = nullptr;

  int64_t elements() const;
};

/// "[576, 1536]".
std::string shape_text(std::span<const int64_t> shape);

/// Product of the dimensions; nullopt when one is negative, or when the product of those that are not 0 does not fit
/// (so that any partial product of an accepted shape fits too).
std::optional<int64_t> checked_elements(std::span<const int64_t> shape);

/// A tensor's shape as a matrix: 2-D as it is; 1-D [n] as [1, n]; more dimensions as [shape[0], the rest]; a scalar as
/// [1, 1].
struct MatrixShape {
  int64_t rows = 1;
  int64_t cols = 1;
};
MatrixShape matrix_shape(std::span<const int64_t> shape);

/// The tensor as a matrix (matrix_shape). Error(kRefused) naming file and tensor for complex dtypes.
RowSourcePtr dense_rows(const TensorView& tensor);

}  // namespace bitloom
