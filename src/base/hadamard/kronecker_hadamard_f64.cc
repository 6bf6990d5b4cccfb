#include "base/hadamard/kronecker_hadamard_loops.h"

namespace bitloom {
namespace {

// All else may be small: it is run once, or seldom.
BITLOOM_VECTOR_CLONES __attribute__((optimize("O3"))) void add_column_products(const double* matrix, int64_t m,
                                                                               const double* x, double* y) {
  add_products(matrix, m, x, y);
}

}  // namespace

template <>
void KroneckerHadamard<double>::add_core_products(const double* matrix, int64_t m, const double* x, int64_t width,
                                                  double* y) {
  width == 1 ? add_column_products(matrix, m, x, y) : add_products(matrix, m, x, width, y);
}

template class KroneckerHadamard<double>;

}  // namespace bitloom
