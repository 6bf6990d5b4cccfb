#include "round/vector/entry_blocks.h"

#include <algorithm>
#include <cmath>

namespace bitloom {
namespace {

constexpr double kRidge = 1e-6;  // of a block's mean diagonal

}  // namespace

void factorize_entry(double* m, int64_t n) {
  double trace = 0;
  for (int64_t i = 0; i < n; ++i) trace += m[i * n + i];
  const double ridge = kRidge * trace / static_cast<double>(n);
  for (int64_t i = 0; i < n; ++i) {
    for (int64_t j = 0; j <= i; ++j) {
      double sum = m[i * n + j] + (i == j ? ridge : 0);
      for (int64_t k = 0; k < j; ++k) sum -= m[i * n + k] * m[j * n + k];
      m[i * n + j] = i != j ? sum / m[j * n + j] : std::sqrt(std::max(sum, ridge));
    }
  }
}

void solve_entry(const double* l, int64_t n, const double* in, double* out) {
  if (l[0] == 0) {
    std::fill_n(out, n, 0.0);
    return;
  }
  for (int64_t i = 0; i < n; ++i) {
    double sum = in[i];
    for (int64_t k = 0; k < i; ++k) sum -= l[i * n + k] * out[k];
    out[i] = sum / l[i * n + i];
  }
  for (int64_t i = n - 1; i >= 0; --i) {
    double sum = out[i];
    for (int64_t k = i + 1; k < n; ++k) sum -= l[k * n + i] * out[k];
    out[i] = sum / l[i * n + i];
  }
}

}  // namespace bitloom
