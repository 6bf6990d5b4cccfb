#include <cmath>

#include "linalg/cholesky.h"

namespace bitloom {

// From the last column to the first: R_jj = sqrt(H_jj - sum_{k>j} R_jk^2), R_ij = (H_ij - sum_{k>j} R_ik R_jk) / R_jj.
int64_t reversed_cholesky_reference(double* h, int64_t n) {
  for (int64_t j = n - 1; j >= 0; --j) {
    for (int64_t i = j; i >= 0; --i) {
      double sum = h[i * n + j];
      for (int64_t k = j + 1; k < n; ++k) sum -= h[i * n + k] * h[j * n + k];
      if (i == j && !(sum > 0 && std::isfinite(sum))) return j;
      h[i * n + j] = i == j ? std::sqrt(sum) : sum / h[j * n + j];
    }
    for (int64_t i = j + 1; i < n; ++i) h[i * n + j] = 0;
  }
  return n;
}

// Column by column: U_jj = 1 / R_jj, U_ij = -(sum_{i<k<=j} R_ik U_kj) / R_ii. Columns of U replace those of R from the
// right, since column j needs only R's columns up to j.
void invert_upper_reference(double* r, int64_t n) {
  for (int64_t j = n - 1; j >= 0; --j) {
    r[j * n + j] = 1 / r[j * n + j];
    for (int64_t i = j - 1; i >= 0; --i) {
      double sum = 0;
      for (int64_t k = i + 1; k <= j; ++k) sum += r[i * n + k] * r[k * n + j];
      r[i * n + j] = -sum / r[i * n + i];
    }
  }
}

}  // namespace bitloom
