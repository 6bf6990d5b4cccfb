#pragma once
// Random orthogonal matrices that cost little to apply (QuIP#, Tseng et al. 2024; QuaRot, Ashkboos et al. 2024): random
// signs, then a Hadamard matrix. Whatever is concentrated in few channels is spread over all of them.
//
//   R = diag(sign) T   [n, n], T of base/hadamard/kronecker_hadamard.h, R R^T = I

#include <cstdint>
#include <vector>

#include "base/hadamard/kronecker_hadamard.h"

namespace bitloom {

class RandomRotation {
 public:
  /// n >= 1. The same n, seed and stream give the same matrix.
  RandomRotation(int64_t n, uint64_t seed, uint64_t stream);

  int64_t size() const { return matrix_.size(); }
  /// Whether it is made of signs and a Hadamard matrix alone.
  bool is_hadamard() const { return matrix_.is_hadamard(); }

  /// x [n, width] fp64 row-major: x <- R^T x, in place. With width 1, x is the row vector x R. Costs
  /// n (m + k) width multiplications and additions.
  void apply(double* x, int64_t width) const;

 private:
  KroneckerHadamard<double> matrix_;
  std::vector<double> signs_;  // [n], times the matrix's scale
};

}  // namespace bitloom
