#include "linalg/cholesky.h"

#include <algorithm>
#include <cmath>
#include <memory>
#include <vector>

#include "linalg/gemm.h"

namespace bitloom {
namespace {

/// Columns that are factored at once, and the edge of the tiles of every product.
constexpr int64_t kBlock = 128;
constexpr int64_t kTile = 256;

/// R and R^-1 of one diagonal block, in double: errors made here would spread over the whole matrix.
struct DiagonalBlock {
  std::vector<double> values = std::vector<double>(kBlock * kBlock);
  int64_t size = 0;

  void load(const float* from, int64_t stride, int64_t n) {
    size = n;
    for (int64_t i = 0; i < n; ++i) {
      for (int64_t j = 0; j < n; ++j)
        values[static_cast<size_t>(i * n + j)] = j < i ? 0.0 : static_cast<double>(from[i * stride + j]);
    }
  }
  void store(float* to, int64_t stride) const {
    for (int64_t i = 0; i < size; ++i) {
      for (int64_t j = 0; j < size; ++j)
        to[i * stride + j] = static_cast<float>(values[static_cast<size_t>(i * size + j)]);
    }
  }
};

/// Tile pairs (i, j), i <= j, that cover the upper triangle of [0, n).
std::vector<std::pair<int64_t, int64_t>> upper_tiles(int64_t n) {
  std::vector<std::pair<int64_t, int64_t>> tiles;
  for (int64_t j = 0; j < n; j += kTile) {
    for (int64_t i = 0; i <= j; i += kTile) tiles.emplace_back(i, j);
  }
  return tiles;
}

/// H[0:n, 0:n] -= P P^T on the upper triangle's tiles; P [n, width] are columns of the same matrix, stride `stride`.
void subtract_outer(float* h, const float* panel, int64_t n, int64_t width, int64_t stride, ThreadPool& threads) {
  const auto tiles = upper_tiles(n);
  threads.parallel_for(static_cast<int64_t>(tiles.size()), [&](int64_t t) {
    const auto [i, j] = tiles[static_cast<size_t>(t)];
    sgemm(Transpose::kNo, Transpose::kYes, std::min(kTile, n - i), std::min(kTile, n - j), width, -1.0f,
          panel + i * stride, stride, panel + j * stride, stride, 1.0f, h + i * stride + j, stride);
  });
}

/// P [n, width] = P inverse^T, in place by tiles of rows: the panel above a diagonal block, R_ik = H_ik R_kk^-T.
void solve_panel(float* panel, int64_t n, int64_t width, int64_t stride, const float* inverse, ThreadPool& threads) {
  threads.parallel_for((n + kTile - 1) / kTile, [&](int64_t t) {
    const int64_t begin = t * kTile, rows = std::min(kTile, n - begin);
    std::unique_ptr<float[]> result(new float[static_cast<size_t>(rows * width)]);
    float* tile = panel + begin * stride;
    sgemm(Transpose::kNo, Transpose::kYes, rows, width, width, 1.0f, tile, stride, inverse, width, 0.0f, result.get(),
          width);
    for (int64_t i = 0; i < rows; ++i) std::copy_n(result.get() + i * width, width, tile + i * stride);
  });
}

}  // namespace

// Blocks from the last to the first: R_kk from the diagonal block, R_ik = H_ik R_kk^-T above it, then
// H_ij -= R_ik R_jk^T for everything to the left.
int64_t reversed_cholesky(float* h, int64_t n, ThreadPool& threads) {
  DiagonalBlock block;
  std::vector<float> inverse(kBlock * kBlock);
  for (int64_t end = n; end > 0;) {
    const int64_t begin = (end - 1) / kBlock * kBlock, width = end - begin;
    float* diagonal = h + begin * n + begin;
    block.load(diagonal, n, width);
    const int64_t pivot = reversed_cholesky_reference(block.values.data(), width);
    if (pivot != width) return begin + pivot;
    block.store(diagonal, n);
    invert_upper_reference(block.values.data(), width);
    block.store(inverse.data(), width);
    for (int64_t i = begin; i < end; ++i) std::fill_n(h + i * n, begin, 0.0f);
    solve_panel(h + begin, begin, width, n, inverse.data(), threads);
    subtract_outer(h, h + begin, begin, width, n, threads);
    end = begin;
  }
  return n;
}

// Columns of blocks j, each independent of the others: U_jj = R_jj^-1 and, upwards,
// U_ij = -R_ii^-1 sum_{i<k<=j} R_ik U_kj.
void invert_upper(float* r, int64_t n, ThreadPool& threads) {
  const int64_t blocks = (n + kBlock - 1) / kBlock;
  const auto size_of = [&](int64_t b) { return std::min(kBlock, n - b * kBlock); };
  std::vector<std::vector<float>> inverses(static_cast<size_t>(blocks));
  threads.parallel_for(blocks, [&](int64_t b) {
    DiagonalBlock block;
    block.load(r + b * kBlock * (n + 1), n, size_of(b));
    invert_upper_reference(block.values.data(), block.size);
    inverses[static_cast<size_t>(b)].resize(static_cast<size_t>(block.size * block.size));
    block.store(inverses[static_cast<size_t>(b)].data(), block.size);
  });
  // R is needed until every column of U is known, so U is built aside. Longest columns first, for balance.
  std::unique_ptr<float[]> u(new float[static_cast<size_t>(n * n)]());
  threads.parallel_for(blocks, [&](int64_t task) {
    const int64_t j = blocks - 1 - task, j0 = j * kBlock, j1 = j0 + size_of(j), width = j1 - j0;
    std::vector<float> sum(static_cast<size_t>(kBlock * width));
    for (int64_t i = 0; i < width; ++i) {
      std::copy_n(inverses[static_cast<size_t>(j)].data() + i * width, width, u.get() + (j0 + i) * n + j0);
    }
    for (int64_t i = j - 1; i >= 0; --i) {
      const int64_t i0 = i * kBlock, i1 = i0 + kBlock;
      sgemm(Transpose::kNo, Transpose::kNo, kBlock, width, j1 - i1, 1.0f, r + i0 * n + i1, n, u.get() + i1 * n + j0, n,
            0.0f, sum.data(), width);
      sgemm(Transpose::kNo, Transpose::kNo, kBlock, width, kBlock, -1.0f, inverses[static_cast<size_t>(i)].data(),
            kBlock, sum.data(), width, 0.0f, u.get() + i0 * n + j0, n);
    }
  });
  std::copy_n(u.get(), n * n, r);
}

}  // namespace bitloom
