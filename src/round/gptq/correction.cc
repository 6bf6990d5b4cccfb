#include "round/gptq/correction.h"

#include <algorithm>
#include <memory>
#include <vector>

#include "linalg/gemm.h"

namespace bitloom {
namespace {

constexpr int64_t kTile = 256;

/// Runs body(i0, i1, j0, j1) over the tiles of the upper triangle.
template <typename Body>
void for_each_upper_tile(int64_t n, ThreadPool& threads, const Body& body) {
  std::vector<std::pair<int64_t, int64_t>> tiles;
  for (int64_t i = 0; i < n; i += kTile) {
    for (int64_t j = i; j < n; j += kTile) tiles.emplace_back(i, j);
  }
  threads.parallel_for(static_cast<int64_t>(tiles.size()), [&](int64_t t) {
    const auto [i, j] = tiles[static_cast<size_t>(t)];
    body(i, std::min(n, i + kTile), j, std::min(n, j + kTile));
  });
}

}  // namespace

// T_jm = sum_{k >= m} D_jk U_mk for m > j;  P_jk = alpha sum_{j < m <= k} T_jm U_mk.
void make_correction(float* d, const float* u, int64_t n, float alpha, ThreadPool& threads) {
  std::unique_ptr<float[]> t(new float[static_cast<size_t>(n * n)]());
  for_each_upper_tile(n, threads, [&](int64_t j0, int64_t j1, int64_t m0, int64_t m1) {
    sgemm(Transpose::kNo, Transpose::kYes, j1 - j0, m1 - m0, n - m0, 1.0f, d + j0 * n + m0, n, u + m0 * n + m0, n, 0.0f,
          t.get() + j0 * n + m0, n);
    for (int64_t j = std::max(j0, m0); j < j1; ++j) std::fill(t.get() + j * n + m0, t.get() + j * n + j + 1, 0.0f);
  });
  std::fill_n(d, n * n, 0.0f);
  for_each_upper_tile(n, threads, [&](int64_t j0, int64_t j1, int64_t k0, int64_t k1) {
    sgemm(Transpose::kNo, Transpose::kNo, j1 - j0, k1 - k0, k1 - j0, alpha, t.get() + j0 * n + j0, n, u + j0 * n + k0,
          n, 0.0f, d + j0 * n + k0, n);
    for (int64_t j = std::max(j0, k0); j < j1; ++j) std::fill(d + j * n + k0, d + j * n + j + 1, 0.0f);
  });
}

void make_correction_reference(double* d, const double* u, int64_t n, double alpha) {
  std::vector<double> p(static_cast<size_t>(n * n));
  for (int64_t j = 0; j < n; ++j) {
    for (int64_t m = j + 1; m < n; ++m) {
      double t = 0;
      for (int64_t k = m; k < n; ++k) t += d[j * n + k] * u[m * n + k];
      for (int64_t k = m; k < n; ++k) p[static_cast<size_t>(j * n + k)] += alpha * t * u[m * n + k];
    }
  }
  std::copy(p.begin(), p.end(), d);
}

}  // namespace bitloom
