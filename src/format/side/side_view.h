#pragma once
// What every side term is once a matrix is open: something that changes what the terms before it decoded to. One file
// pair each under format/side, with its storage, a small value, and a row in side_terms.cc.

#include <cstdint>
#include <string>

#include "format/family.h"

namespace bitloom {

/// A term of a stored matrix [rows, cols], over bytes that somebody else owns.
class SideView {
 public:
  virtual ~SideView() = default;
  /// Rows that must be at hand together: `apply` takes whole runs of so many. Divides the matrix's rows.
  virtual int64_t row_block() const { return 1; }
  /// out [end - begin, cols] fp32: what the base and the terms before this one give for rows [begin, end); becomes what
  /// they give with it. Thread-safe.
  virtual void apply(int64_t begin, int64_t end, float* out) const = 0;
  /// Bits per weight of the matrix as papers count them.
  virtual double nominal_bits() const = 0;
  /// Error(kUnverified), starting with `name`, for values that its storage cannot mean or that are not finite.
  virtual void check_values(const std::string& name) const = 0;
};

}  // namespace bitloom
