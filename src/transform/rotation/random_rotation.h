#pragma once
// Random orthogonal matrices that cost little to apply (QuIP#, Tseng et al. 2024; QuaRot, Ashkboos et al. 2024): random
// signs, then a Hadamard matrix. Whatever is concentrated in few channels is spread over all of them.
//
//   R = diag(sign) (H_2^k x M) / sqrt(2^k)   [n, n], n = 2^k m, R R^T = I
//
// M [m, m] is a Hadamard matrix over sqrt(m) where one is known (transform/rotation/hadamard.h), with the smallest such
// m; otherwise m is the odd part of n and M a random orthogonal matrix.

#include <cstdint>
#include <vector>

namespace bitloom {

class RandomRotation {
 public:
  /// n >= 1. The same n, seed and stream give the same matrix. m^2 doubles of memory.
  RandomRotation(int64_t n, uint64_t seed, uint64_t stream);

  int64_t size() const { return size_; }
  /// Whether it is made of signs and a Hadamard matrix alone.
  bool is_hadamard() const { return hadamard_; }

  /// x [n, width] fp64 row-major: x <- R^T x, in place. With width 1, x is the row vector x R. Costs
  /// n (m + k) width multiplications and additions.
  void apply(double* x, int64_t width) const;

 private:
  void apply_core(double* x, int64_t width) const;

  int64_t size_, core_size_;
  bool hadamard_;
  std::vector<double> signs_;  // [n], over sqrt(n), or sqrt(2^k) where M is not made of signs
  std::vector<double> core_;   // M [m, m]: of 1 and -1, or orthogonal; empty for m = 1
};

/// Rows orthonormal to fp64's precision, uniformly distributed (Haar): the Gram-Schmidt rows of a matrix of normal
/// numbers. n^3 multiplications. Row-major [n, n].
std::vector<double> random_orthogonal(int64_t n, uint64_t seed, uint64_t stream);

}  // namespace bitloom
