#include "linalg/gemm.h"

#include <algorithm>
#include <vector>

#include "base/clock.h"

namespace bitloom {
namespace {

/// Rows of X in one tile. Each tile decodes its rows of W anew: at this size that is under a tenth of the product's
/// time even for slow decoders, and short enough that two threads finish together.
constexpr int64_t kTokenTile = 1024;

/// Y tile = X tile W tile^T (+ bias): tokens [t0, t1), rows [r0, r1) of W, which `w` holds as [r1 - r0, cols].
struct LinearCall {
  const float* x;
  int64_t x_stride, tokens, rows, cols;
  const float* bias;
  float* y;
  int64_t y_stride;

  void tile(int64_t t0, int64_t t1, int64_t r0, int64_t r1, const float* w) const {
    float* out = y + t0 * y_stride + r0;
    if (bias != nullptr) {
      for (int64_t t = 0; t < t1 - t0; ++t) std::copy(bias + r0, bias + r1, out + t * y_stride);
    }
    sgemm(Transpose::kNo, Transpose::kYes, t1 - t0, r1 - r0, cols, 1.0f, x + t0 * x_stride, x_stride, w, cols,
          bias == nullptr ? 0.0f : 1.0f, out, y_stride);
  }

  /// Runs body(t0, t1, r0, r1, thread) over all tiles; their sizes do not depend on the number of threads.
  template <typename Body>
  void for_each_tile(ThreadPool& threads, const Body& body) const {
    const int64_t token_tiles = (tokens + kTokenTile - 1) / kTokenTile;
    const int64_t row_tiles = (rows + kLinearTileRows - 1) / kLinearTileRows;
    threads.parallel_for_thread(token_tiles * row_tiles, [&](int64_t i, int thread) {
      const int64_t t0 = i % token_tiles * kTokenTile, r0 = i / token_tiles * kLinearTileRows;
      body(t0, std::min(t0 + kTokenTile, tokens), r0, std::min(r0 + kLinearTileRows, rows), thread);
    });
  }
};

}  // namespace

void sgemm_panels(Transpose trans_b, int64_t m, int64_t n, int64_t k, float alpha, const float* a, const float* b,
                  float beta, float* c, ThreadPool& threads) {
  constexpr int64_t kPanelRows = 64;
  const int64_t ldb = trans_b == Transpose::kNo ? n : k;
  threads.parallel_for((m + kPanelRows - 1) / kPanelRows, [&](int64_t panel) {
    const int64_t first = panel * kPanelRows, rows = std::min(kPanelRows, m - first);
    sgemm(Transpose::kNo, trans_b, rows, n, k, alpha, a + first * k, k, b, ldb, beta, c + first * n, n);
  });
}

void linear(const float* x, int64_t x_stride, int64_t tokens, const RowSource& w, const float* bias, float* y,
            int64_t y_stride, TileScratch& scratch, ThreadPool& threads) {
  const LinearCall call{x, x_stride, tokens, w.rows(), w.cols(), bias, y, y_stride};
  const auto size = static_cast<size_t>(kLinearTileRows * w.cols());
  const auto count = static_cast<size_t>(threads.thread_count());
  if (scratch.tiles.size() < count) scratch.tiles.resize(count);
  call.for_each_tile(threads, [&](int64_t t0, int64_t t1, int64_t r0, int64_t r1, int thread) {
    std::vector<float>& tile = scratch.tiles[static_cast<size_t>(thread)];
    if (tile.size() < size) tile.resize(size);
    w.decode_rows(r0, r1, tile.data());
    call.tile(t0, t1, r0, r1, tile.data());
  });
}

void linear_dense(const float* x, int64_t x_stride, int64_t tokens, const float* w, int64_t rows, int64_t cols,
                  const float* bias, float* y, int64_t y_stride, ThreadPool& threads) {
  const LinearCall call{x, x_stride, tokens, rows, cols, bias, y, y_stride};
  call.for_each_tile(
      threads, [&](int64_t t0, int64_t t1, int64_t r0, int64_t r1, int) { call.tile(t0, t1, r0, r1, w + r0 * cols); });
}

double measure_sgemm_gflops(int64_t size, double seconds, ThreadPool& threads) {
  const auto area = static_cast<size_t>(size * size);
  const int64_t count = threads.thread_count();
  // Each thread multiplies matrices of its own, so the rate is what independent tiles can reach together.
  std::vector<std::vector<float>> a(static_cast<size_t>(count)), b(a), c(a);
  std::vector<double> rates(static_cast<size_t>(count));
  threads.parallel_for(count, [&](int64_t i) {
    const auto slot = static_cast<size_t>(i);
    a[slot].assign(area, 1.0f), b[slot].assign(area, 0.5f), c[slot].assign(area, 0.0f);
    const auto multiply = [&] {
      sgemm(Transpose::kNo, Transpose::kYes, size, size, size, 1.0f, a[slot].data(), size, b[slot].data(), size, 0.0f,
            c[slot].data(), size);
    };
    multiply();
    const Stopwatch watch;
    double elapsed = 0;
    int64_t products = 0;
    while (elapsed < seconds) {
      multiply();
      ++products;
      elapsed = watch.seconds();
    }
    const auto edge = static_cast<double>(size);
    rates[slot] = 2.0 * edge * edge * edge * static_cast<double>(products) / elapsed * 1e-9;
  });
  double total = 0;
  for (const double rate : rates) total += rate;
  return total;
}

}  // namespace bitloom
