#pragma once
// A named tensor in a mapped file: dtype, shape and the bytes, which stay valid while `owner` lives.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/dtype.h"
#include "base/row_source.h"

namespace bitloom {

struct TensorView {
  std::string name;
  DType dtype = DType::kF32;
  std::vector<int64_t> shape;  // row-major; empty means a scalar
  std::span<const std::byte> bytes;
  std::shared_ptr<const void> owner;
  std::string file;  // path, for messages

  int64_t elements() const;
};

/// "[576, 1536]".
std::string shape_text(std::span<const int64_t> shape);

/// The tensor as a matrix: 2-D as it is; 1-D [n] as [1, n]; more dimensions as [shape[0], the rest].
/// Error(kRefused) naming file and tensor for complex dtypes.
RowSourcePtr dense_rows(const TensorView& tensor);

}  // namespace bitloom
