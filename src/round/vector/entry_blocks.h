#pragma once
// Small symmetric systems, one for each entry of a codebook: row-major [n, n], in fp64.

#include <cstdint>

namespace bitloom {

/// The lower factor L of m = L L^T in place; the diagonal is raised by a millionth of its mean. Only the lower triangle
/// is read.
void factorize_entry(double* m, int64_t n);
/// out [n] = (L L^T)^-1 in [n]; zeros where L is 0, of an entry that nothing feels.
void solve_entry(const double* l, int64_t n, const double* in, double* out);

}  // namespace bitloom
