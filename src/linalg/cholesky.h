#pragma once
// Triangular factors of symmetric positive definite matrices, blocked so that almost all work is sgemm on tiles of
// fixed size: the result does not depend on the number of threads. Row-major, fp32.

#include <cstdint>

#include "base/threads.h"

namespace bitloom {

/// Reversed Cholesky: H = R R^T with R upper triangular and a positive diagonal. `h` [n, n] holds H on entry (its upper
/// triangle is read) and R on return, zeros below the diagonal. With J the reversal of indices, R = J L J for the
/// ordinary factor J H J = L L^T. n^3 / 3 multiplications.
/// Returns n, or the index of the first pivot (going down from n - 1) that is not positive and finite; `h` is then
/// undefined.
int64_t reversed_cholesky(float* h, int64_t n, ThreadPool& threads);

/// Inverse of an upper triangular matrix with a non-zero diagonal, in place; zeros stay below the diagonal. n^3 / 3
/// multiplications.
///
/// With R from reversed_cholesky, U = R^-1 is the upper triangular matrix with H^-1 = U^T U that error feedback needs
/// (Frantar et al., GPTQ, 2023, Algorithm 1), at half the cost of factor, inverse, factor.
void invert_upper(float* r, int64_t n, ThreadPool& threads);

/// The definitions, one entry at a time in double precision: what the fast ones are tested against. Same contracts.
int64_t reversed_cholesky_reference(double* h, int64_t n);
void invert_upper_reference(double* r, int64_t n);

}  // namespace bitloom
