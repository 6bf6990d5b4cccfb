#pragma once
// What a base family provides. A family says how the dense part of a matrix is stored; side terms (format/side) add to
// any of them. One folder each under format/families:
//
//   its storage, a small value with          to_string, nominal_bits, greatest_parts (overloads)
//   a parser of its spelling                 a row in format/storage.cc
//   its matrix, a BaseMatrix over parts      open_base, an overload that format/stored_matrix.cc calls
//
// Files, journal, ranks, verify, true bits and tile decoding follow from these.

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/dtype.h"

namespace bitloom {

/// One stored piece of a matrix: what a file holds under NAME + suffix.
struct TensorPart {
  std::string suffix;  // ".codes", ".scales", ...
  DType dtype = DType::kU8;
  std::vector<int64_t> shape;
  std::span<const std::byte> bytes;
};

/// Bytes that the part's dtype and shape amount to.
int64_t bytes_of(const TensorPart& part);

/// The dense part of a stored matrix [rows, cols], over bytes that somebody else owns.
class BaseMatrix {
 public:
  virtual ~BaseMatrix() = default;
  /// out [end - begin, cols] fp32. Thread-safe.
  virtual void decode_rows(int64_t begin, int64_t end, float* out) const = 0;
  /// Bits per weight as papers count them, of this very matrix.
  virtual double nominal_bits() const = 0;
  /// Error(kUnverified), starting with `name`, for a code or a side value that its storage cannot mean, a value that is
  /// not finite, padding that is not zero.
  virtual void check_values(const std::string& name) const = 0;
};

/// The part called `suffix`, with the dtype and shape that `want` has. Error(kRefused), starting with `name` and saying
/// what `storage` needs, where it is missing or differs, or holds another number of bytes than its shape needs.
TensorPart checked_part(const std::string& name, const std::string& storage, const std::vector<TensorPart>& parts,
                        const TensorPart& want);
/// The same for a part of one dimension whose extent is the matrix's own: want.shape is its upper bound.
TensorPart bounded_part(const std::string& name, const std::string& storage, const std::vector<TensorPart>& parts,
                        const TensorPart& want);

}  // namespace bitloom
