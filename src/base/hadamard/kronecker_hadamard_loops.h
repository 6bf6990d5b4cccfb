#pragma once
// The class's functions, for the sources that make it of one kind of numbers each, so that a program takes only what it
// uses.

#include <algorithm>
#include <cassert>
#include <cmath>

#include "base/hadamard/hadamard.h"
#include "base/hadamard/kronecker_hadamard.h"
#include "base/hadamard/walsh_hadamard.h"
#include "base/simd/vector_clones.h"

namespace bitloom {
namespace {

/// y [m, width] += A^T x, A [m, m], x [m, width].
template <typename Real>
[[gnu::always_inline]] inline void add_products(const Real* matrix, int64_t m, const Real* x, int64_t width, Real* y) {
  for (int64_t b = 0; b < m; ++b) {
    for (int64_t c = 0; c < m; ++c) {
      const Real factor = matrix[b * m + c];
      for (int64_t i = 0; i < width; ++i) y[c * width + i] += factor * x[b * width + i];
    }
  }
}

/// The same of one column.
template <typename Real>
[[gnu::always_inline]] inline void add_products(const Real* matrix, int64_t m, const Real* x, Real* y) {
  for (int64_t b = 0; b < m; ++b) {
    const Real* row = matrix + b * m;
    for (int64_t c = 0; c < m; ++c) y[c] += row[c] * x[b];
  }
}

int64_t odd_part(int64_t n) {
  while (n % 2 == 0) n /= 2;
  return n;
}

/// One seed's uses apart: the core matrix takes another stream than what its caller draws.
uint64_t core_stream(uint64_t stream) { return stream ^ (uint64_t{1} << 63); }

constexpr int64_t kFewValues = 512;  // for which nothing is allocated: one token's, of every core of practice

}  // namespace

template <typename Real>
KroneckerHadamard<Real>::KroneckerHadamard(int64_t n, uint64_t seed, uint64_t stream) {
  assert(n >= 1);
  const auto core = hadamard_core(n);
  hadamard_ = core.has_value();
  core_size_ = core.value_or(odd_part(n));
  power_ = n / core_size_;
  if (core_size_ == 1) return;
  if (hadamard_) {
    const std::vector<int8_t> matrix = *paley_hadamard(core_size_);
    core_.assign(matrix.begin(), matrix.end());
  } else {
    for (const double value : random_orthogonal(core_size_, seed, core_stream(stream))) {
      core_.push_back(static_cast<Real>(value));
    }
  }
  core_transposed_.resize(core_.size());
  for (int64_t r = 0; r < core_size_; ++r) {
    for (int64_t c = 0; c < core_size_; ++c) {
      core_transposed_[static_cast<size_t>(c * core_size_ + r)] = core_[static_cast<size_t>(r * core_size_ + c)];
    }
  }
}

template <typename Real>
double KroneckerHadamard<Real>::scale() const {
  return 1.0 / std::sqrt(static_cast<double>(hadamard_ ? size() : power_));
}

/// x [2^k, m, width]: the rows of each block of m mixed by A^T.
template <typename Real>
void KroneckerHadamard<Real>::mix(const std::vector<Real>& matrix, Real* x, int64_t width) const {
  if (matrix.empty()) return;
  const int64_t block_size = core_size_ * width;
  Real few[kFewValues];
  std::vector<Real> many(static_cast<size_t>(block_size > kFewValues ? block_size : 0));
  Real* mixed = many.empty() ? few : many.data();
  for (Real* block = x; block < x + power_ * block_size; block += block_size) {
    std::fill_n(mixed, block_size, Real{0});
    add_core_products(matrix.data(), core_size_, block, width, mixed);
    std::copy_n(mixed, block_size, block);
  }
}

template <typename Real>
void KroneckerHadamard<Real>::apply(Real* x, int64_t width) const {
  mix(core_transposed_, x, width);
  walsh_hadamard(x, power_, core_size_ * width);
}

template <typename Real>
void KroneckerHadamard<Real>::apply_transposed(Real* x, int64_t width) const {
  mix(core_, x, width);
  walsh_hadamard(x, power_, core_size_ * width);
}

}  // namespace bitloom
