#pragma once
// Orthogonal matrices of any width that cost little to apply and spread whatever is concentrated: Kronecker products of
// Sylvester's Hadamard matrices with a small one (QuaRot, Ashkboos et al., 2024, section 3).

#include <cstdint>
#include <limits>
#include <vector>

namespace bitloom {

/// T = s (H_2^k x M)   [n, n], n = 2^k m, T T^T = I
///
/// M [m, m] is a Hadamard matrix where one is known (base/hadamard/hadamard.h), with the smallest such m, and s = 1 /
/// sqrt(n); otherwise m is the odd part of n, M a random orthogonal matrix, and s = 1 / sqrt(2^k). Real: float or
/// double.
template <typename Real>
class KroneckerHadamard {
 public:
  /// n >= 1. The same n, seed and stream give the same matrix. 2 m^2 numbers of memory.
  [[gnu::cold]] KroneckerHadamard(int64_t n, uint64_t seed, uint64_t stream);

  int64_t size() const { return power_ * core_size_; }
  int64_t core_size() const { return core_size_; }
  /// Whether all entries are alike but for their signs.
  bool is_hadamard() const { return hadamard_; }
  /// s, which the products below leave to their caller.
  double scale() const;

  /// x [n, width] row-major: x <- T x / s, in place. n (m + k) width multiplications and additions; the same bits on
  /// all processors.
  void apply(Real* x, int64_t width) const;
  /// x <- T^T x / s. With width 1, x is the row vector x T.
  void apply_transposed(Real* x, int64_t width) const;

 private:
  void mix(const std::vector<Real>& matrix, Real* x, int64_t width) const;
  static void add_core_products(const Real* matrix, int64_t m, const Real* x, int64_t width, Real* y);

  int64_t power_, core_size_;  // 2^k, m
  bool hadamard_;
  std::vector<Real> core_, core_transposed_;  // M; empty for m = 1
};

template <>
void KroneckerHadamard<float>::add_core_products(const float*, int64_t, const float*, int64_t, float*);
template <>
void KroneckerHadamard<double>::add_core_products(const double*, int64_t, const double*, int64_t, double*);
extern template class KroneckerHadamard<float>;
extern template class KroneckerHadamard<double>;

/// In place of a greatest block of a rotation: all channels are one (T above, where blocks are Sylvester's).
inline constexpr int64_t kWholeWidth = std::numeric_limits<int64_t>::max();

}  // namespace bitloom
