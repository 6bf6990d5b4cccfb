#pragma once
// The directions in which a matrix is largest: what low-rank approximations keep.

#include <cstdint>
#include <vector>

#include "base/threads.h"

namespace bitloom {

/// Eigenvectors of G = E H E^T for its greatest eigenvalues, greatest first. With H = 1 they are E's left singular
/// vectors, and the values the squares of its singular values.
struct LeadingVectors {
  std::vector<double> values;  // [rank]
  std::vector<float> vectors;  // [rank, rows], rows orthonormal; zeros where G has no more directions
};

/// E [rows, cols] row-major; H [cols, cols] symmetric, positive semidefinite, or null: 1. rank <= min(rows, cols).
/// Orthogonal iteration with 16 vectors more than asked for (Halko, Martinsson and Tropp, 0909.4061, section 4.5), sums
/// of products in fp32, orthogonality and the small eigenproblem in fp64. The same bytes for any number of threads.
/// About 50 (rank + 16) cols (2 rows + cols) flops; memory: (rank + 16) (rows + 2 cols) fp32.
LeadingVectors leading_vectors(const float* e, int64_t rows, int64_t cols, const float* h, int64_t rank,
                               ThreadPool& threads);

/// Eigenvectors of a symmetric matrix a [n, n], in place by Jacobi's rotations: a becomes diagonal, row i of the result
/// [n, n] belongs to a[i, i]; not in order.
std::vector<double> jacobi_eigenvectors(double* a, int64_t n);

}  // namespace bitloom
