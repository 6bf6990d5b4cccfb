#pragma once
// Matrices whose rows lie in a file one after the other, for kernels that read them there.

#include <cstddef>

#include "base/memory/row_source.h"

namespace bitloom {

class StoredRows : public RowSource {
 public:
  /// The first of rows() rows of stored_bytes() / rows() bytes each, of the type that storage() names: safetensors'
  /// dtypes and ggml's block types. Valid while the matrix lives.
  virtual const std::byte* stored_rows() const = 0;
};

}  // namespace bitloom
