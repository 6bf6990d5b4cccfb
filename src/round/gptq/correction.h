#pragma once
// Compensation of the inputs' own error (GPTAQ; Li et al., 2025; papers' column-wise page, 1.5).
//
// The layer should make W f_t of the float model's input f_t, but gets x_t = f_t - d_t from the layers before it, so
// the residual is  sum_j (w_j - q_j) x_j + sum_j w_j d_j.  When column j is chosen, its part w_j d_j of the second sum
// can still be made by the later columns F = (j, n): the least squares solution of  dw_F x_F = w_j d_j  is
//
//   dw_F = w_j D_jF (H_FF)^-1,   D = mean over tokens of d x^T,   (H_FF)^-1 = U_FF^T U_FF   (H_d^-1 = U^T U)
//
// and, since U_FF holds the rows m > j of U, dw_F is row j of w_j P with
//
//   P = alpha * strict_upper(D U^T) U        strictly upper triangular, [n, n]; alpha in [0, 1] damps it.
//
// w_j is the compensated column: its inputs' error is felt by what the column has become.

#include <cstdint>

#include "base/threads.h"

namespace bitloom {

/// `d` [n, n] holds D in the order of the loop and receives P, zeros on and below the diagonal; u [n, n] upper
/// triangular. 2/3 n^3 multiplications; memory: one more matrix. The same bytes for any number of threads.
void make_correction(float* d, const float* u, int64_t n, float alpha, ThreadPool& threads);

/// The definition in double.
void make_correction_reference(double* d, const double* u, int64_t n, double alpha);

}  // namespace bitloom
