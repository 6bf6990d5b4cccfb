#pragma once
// A matrix of which any run of rows can be decoded to fp32: the one form in which weights travel between folders,
// whatever their storage (dense in a mapped file, GGUF blocks, our quantized tensors, a row permutation of another).

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace bitloom {

class RowSource {
 public:
  virtual ~RowSource() = default;

  virtual int64_t rows() const = 0;
  virtual int64_t cols() const = 0;

  /// out [end - begin, cols] fp32, row-major. Thread-safe; touches only the bytes of these rows.
  virtual void decode_rows(int64_t begin, int64_t end, float* out) const = 0;

  /// Bytes this matrix takes in its file, all side data included.
  virtual int64_t stored_bytes() const = 0;

  /// How it is stored, for people: "BF16", "Q4_1", "int4-g32".
  virtual std::string storage() const = 0;

  /// Lets go of copies that the source made for itself, until it is decoded again. Thread-safe; most make none.
  virtual void release() const {}

  /// Convenience: the whole matrix, or vector, decoded.
  std::vector<float> decode_all() const {
    std::vector<float> out(static_cast<size_t>(rows() * cols()));
    decode_rows(0, rows(), out.data());
    return out;
  }
};

using RowSourcePtr = std::shared_ptr<const RowSource>;

}  // namespace bitloom
