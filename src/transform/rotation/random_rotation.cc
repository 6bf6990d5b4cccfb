#include "transform/rotation/random_rotation.h"

#include <algorithm>
#include <cassert>
#include <cmath>

#include "base/rng.h"
#include "base/vector_clones.h"
#include "base/walsh_hadamard.h"
#include "transform/rotation/hadamard.h"

namespace bitloom {
namespace {

int64_t odd_part(int64_t n) {
  while (n % 2 == 0) n /= 2;
  return n;
}

/// One seed's uses apart: signs and the core matrix take different streams.
uint64_t core_stream(uint64_t stream) { return stream ^ (uint64_t{1} << 63); }

/// row <- row minus its projections on `count` orthonormal rows.
void remove_projections(double* row, const double* basis, int64_t count, int64_t n) {
  for (int64_t k = 0; k < count; ++k) {
    const double* other = basis + k * n;
    double dot = 0;
    for (int64_t i = 0; i < n; ++i) dot += row[i] * other[i];
    for (int64_t i = 0; i < n; ++i) row[i] -= dot * other[i];
  }
}

/// y [m] += x [m] M, M [m, m].
BITLOOM_VECTOR_CLONES void add_row_products(const double* matrix, int64_t m, const double* x, double* y) {
  for (int64_t b = 0; b < m; ++b) {
    const double* row = matrix + b * m;
    for (int64_t c = 0; c < m; ++c) y[c] += row[c] * x[b];
  }
}

/// y [m, width] += M^T x, x [m, width].
BITLOOM_VECTOR_CLONES void add_products(const double* matrix, int64_t m, const double* x, int64_t width, double* y) {
  for (int64_t b = 0; b < m; ++b) {
    for (int64_t c = 0; c < m; ++c) {
      const double factor = matrix[b * m + c];
      for (int64_t i = 0; i < width; ++i) y[c * width + i] += factor * x[b * width + i];
    }
  }
}

}  // namespace

std::vector<double> random_orthogonal(int64_t n, uint64_t seed, uint64_t stream) {
  Rng rng(seed, stream);
  std::vector<double> rows(static_cast<size_t>(n * n));
  for (double& value : rows) value = rng.normal();
  for (int64_t r = 0; r < n; ++r) {
    double* row = rows.data() + r * n;
    // Twice: the second pass removes what rounding left behind in the first.
    for (int pass = 0; pass < 2; ++pass) remove_projections(row, rows.data(), r, n);
    double norm = 0;
    for (int64_t i = 0; i < n; ++i) norm += row[i] * row[i];
    for (int64_t i = 0; i < n; ++i) row[i] /= std::sqrt(norm);
  }
  return rows;
}

RandomRotation::RandomRotation(int64_t n, uint64_t seed, uint64_t stream) : size_(n) {
  assert(n >= 1);
  const auto core = hadamard_core(n);
  hadamard_ = core.has_value();
  core_size_ = core.value_or(odd_part(n));
  if (!hadamard_) {
    core_ = random_orthogonal(core_size_, seed, core_stream(stream));
  } else if (core_size_ > 1) {
    const std::vector<int8_t> matrix = *paley_hadamard(core_size_);
    core_.assign(matrix.begin(), matrix.end());
  }
  const double scale = 1.0 / std::sqrt(static_cast<double>(hadamard_ ? n : n / core_size_));
  Rng rng(seed, stream);
  signs_.resize(static_cast<size_t>(n));
  for (double& sign : signs_) sign = (rng.next_u32() >> 31) != 0 ? -scale : scale;
}

// x [2^k, m, width]: the rows of each block of m mixed by M^T.
void RandomRotation::apply_core(double* x, int64_t width) const {
  const int64_t block_size = core_size_ * width;
  std::vector<double> mixed(static_cast<size_t>(block_size));
  for (double* block = x; block < x + size_ * width; block += block_size) {
    std::fill(mixed.begin(), mixed.end(), 0.0);
    if (width == 1) {
      add_row_products(core_.data(), core_size_, block, mixed.data());
    } else {
      add_products(core_.data(), core_size_, block, width, mixed.data());
    }
    std::copy(mixed.begin(), mixed.end(), block);
  }
}

void RandomRotation::apply(double* x, int64_t width) const {
  for (int64_t r = 0; r < size_; ++r) {
    for (int64_t i = 0; i < width; ++i) x[r * width + i] *= signs_[static_cast<size_t>(r)];
  }
  if (!core_.empty()) apply_core(x, width);
  walsh_hadamard(x, size_ / core_size_, core_size_ * width);
}

}  // namespace bitloom
