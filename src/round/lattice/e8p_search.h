#pragma once
// The point of E8P (format/families/vector/e8p.h) nearest to a vector of 8.
//
// For each of both shifts and each table vector a the best signs are those of y = x - t / 4, or, where their number is
// not what the lattice wants, the same but for the coordinate that loses least:
//
//   |y - s a|^2 = |y|^2 + |a|^2 - 2 sum a_i |y_i| + (4 min a_i |y_i|, where one sign is turned)
//
// so 512 candidates stand for all 65536 points.

#include <cstdint>

#include "format/families/vector/e8p.h"

namespace bitloom {

/// In which E8P codes a normal source of variance 1 with the least error: x = units times the source, in units where
/// the lattice is E8 + 1/4. By measurement (e8p_search_test.cc): 0.0913 of the variance.
inline constexpr double kE8pUnits = 1.03;

class E8pSearch {
 public:
  E8pSearch();
  /// The code nearest x [8]; among equals always the same.
  uint16_t find(const float* x) const;

  static constexpr int64_t kEntries = 256;

 private:
  alignas(64) float columns_[kE8pGroup][kEntries];  // a, turned round
  alignas(64) float norms_[kEntries];               // |a|^2
  alignas(64) float turned_[2][kEntries];  // by the parity of negative y: 4 where a sign must be turned, else 0
};

/// The definition: all 65536 points in fp64, the first of the nearest.
uint16_t nearest_e8p_reference(const float* x);

}  // namespace bitloom
