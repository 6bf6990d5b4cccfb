#include "round/trellis/tile_loop.h"

#include <gtest/gtest.h>

#include <cmath>

#include "base/rng.h"
#include "round/trellis/block_ldl.h"

namespace bitloom {
namespace {

/// To the nearest integer, ties to even.
void to_integers(int64_t, int64_t, const float* target, float* decoded, int) { *decoded = std::nearbyint(*target); }

/// tr(H_O E H_I E^T) of 2 x 2 matrices, H_I = H_O = [[2, 1], [1, 2]].
double cost(const std::vector<float>& w, const std::vector<float>& q) {
  const double h[2][2] = {{2, 1}, {1, 2}};
  double sum = 0;
  for (size_t a = 0; a < 2; ++a) {
    for (size_t b = 0; b < 2; ++b) {
      for (size_t c = 0; c < 2; ++c) {
        for (size_t d = 0; d < 2; ++d) {
          const auto e = [&](size_t r, size_t k) { return static_cast<double>(w[2 * r + k] - q[2 * r + k]); };
          sum += h[a][b] * e(b, c) * h[c][d] * e(a, d);
        }
      }
    }
  }
  return sum;
}

struct HandCase {
  std::vector<float> w;
  std::vector<double> targets;  // of (1, 1), (0, 1), (1, 0), (0, 0)
  double nearest, one_sided, two_sided;
};

// The page's hand vectors: tiles of one weight, H = L D L^T with L = [[1, 0], [.5, 1]].
TEST(TileLoop, HandVectorsOfThePage) {
  const float l[] = {1, 0, 0.5f, 1};
  ThreadPool threads(2);
  for (const HandCase& hand : {HandCase{{.4f, .4f, .9f, .4f}, {.4, .6, 1.1, .15}, 3.16, 1.96, 0.96},
                               {{.4f, .4f, .7f, .3f}, {.3, .55, .85, .025}, 2.28, 2.08, 0.88}}) {
    std::vector<float> nearest = hand.w, one = hand.w, two = hand.w, reference = hand.w;
    std::vector<double> targets(4);
    tile_loop({1, nullptr, nullptr}, nearest.data(), 2, 2, to_integers, threads);
    tile_loop({1, l, nullptr}, one.data(), 2, 2, to_integers, threads);
    tile_loop(
        {1, l, l}, two.data(), 2, 2,
        [&](int64_t o, int64_t i, const float* target, float* decoded, int thread) {
          targets[static_cast<size_t>(i == 1 ? 1 - o : 3 - o)] = static_cast<double>(*target);
          to_integers(o, i, target, decoded, thread);
        },
        threads);
    tile_loop_reference({1, l, l}, reference.data(), 2, 2, to_integers);
    EXPECT_NEAR(cost(hand.w, nearest), hand.nearest, 1e-5);
    EXPECT_NEAR(cost(hand.w, one), hand.one_sided, 1e-5);
    EXPECT_NEAR(cost(hand.w, two), hand.two_sided, 1e-5);
    EXPECT_EQ(two, reference);
    for (size_t i = 0; i < 4; ++i) EXPECT_NEAR(targets[i], hand.targets[i], 1e-6) << i;
  }
}

/// H [n, n] of correlated inputs.
std::vector<float> random_moment(int64_t n, uint64_t seed) {
  Rng rng(seed, 5);
  std::vector<double> x(static_cast<size_t>(4 * n * n));
  for (size_t i = 0; i < x.size(); ++i) x[i] = rng.normal() + (i % static_cast<size_t>(n) > 0 ? 0.7 * x[i - 1] : 0);
  std::vector<float> h(static_cast<size_t>(n * n));
  for (int64_t i = 0; i < n; ++i) {
    for (int64_t j = 0; j < n; ++j) {
      double sum = 0;
      for (int64_t t = 0; t < 4 * n; ++t) sum += x[static_cast<size_t>(t * n + i)] * x[static_cast<size_t>(t * n + j)];
      h[static_cast<size_t>(i * n + j)] = static_cast<float>(sum / static_cast<double>(4 * n));
    }
  }
  return h;
}

BlockLdl factor(int64_t n, int64_t tile, uint64_t seed, ThreadPool& threads) {
  std::vector<float> h = random_moment(n, seed);
  BlockLdl ldl;
  EXPECT_TRUE(factor_block_ldl(h, n, tile, ldl, threads));
  return ldl;
}

TEST(BlockLdl, FactorsGiveTheMatrixBack) {
  constexpr int64_t n = 48, tile = 16;
  ThreadPool threads(2);
  const std::vector<float> h = random_moment(n, 1);
  const BlockLdl ldl = factor(n, tile, 1, threads);
  const auto l = [&](int64_t i, int64_t j) { return static_cast<double>(ldl.l[static_cast<size_t>(i * n + j)]); };
  // With unit block lower L, D_J is what L^-1 leaves of H's diagonal blocks: from the first block on.
  std::vector<double> d(static_cast<size_t>(n * tile));  // block J at rows J tile: [tile, tile]
  const auto block = [&](int64_t i, int64_t k) -> double& { return d[static_cast<size_t>(i * tile + k % tile)]; };
  for (int64_t i = 0; i < n; ++i) {
    for (int64_t j = i / tile * tile; j < i / tile * tile + tile; ++j) {
      EXPECT_EQ(l(i, j), i == j ? 1 : 0) << "L has unit blocks";
      double rest = h[static_cast<size_t>(i * n + j)];
      for (int64_t first = 0; first < i / tile * tile; first += tile) {
        for (int64_t a = first; a < first + tile; ++a) {
          for (int64_t b = first; b < first + tile; ++b) rest -= l(i, a) * block(a, b) * l(j, b);
        }
      }
      block(i, j) = rest;
    }
    EXPECT_NEAR(ldl.d[static_cast<size_t>(i)], block(i, i), 1e-4 * block(i, i));
  }
  for (int64_t i = 0; i < n; ++i) {
    for (int64_t j = 0; j < i / tile * tile; ++j) {
      double product = 0;  // (L D L^T)_ij
      for (int64_t first = 0; first <= j / tile * tile; first += tile) {
        for (int64_t a = first; a < first + tile; ++a) {
          for (int64_t b = first; b < first + tile; ++b) product += l(i, a) * block(a, b) * l(j, b);
        }
      }
      EXPECT_NEAR(product, h[static_cast<size_t>(i * n + j)], 2e-5 * 4) << i << " " << j;
    }
  }
}

TEST(BlockLdl, RefusesWhatIsNotPositiveDefinite) {
  ThreadPool threads(1);
  std::vector<float> h(32 * 32, 1.0f);
  for (size_t i = 0; i < 32; ++i) h[i * 32 + i] = 0.5f;
  BlockLdl ldl;
  EXPECT_FALSE(factor_block_ldl(h, 32, 16, ldl, threads));
}

/// Halves, so that many targets are far from what is allowed.
template <int64_t tile>
void to_halves(int64_t, int64_t, const float* target, float* decoded, int) {
  for (int64_t i = 0; i < tile * tile; ++i) decoded[i] = std::nearbyint(2 * target[i]) / 2;
}

std::vector<float> random_weights(int64_t count) {
  Rng rng(9, 9);
  std::vector<float> w(static_cast<size_t>(count));
  for (float& value : w) value = static_cast<float>(rng.normal());
  return w;
}

/// `tile`: of rows and columns that are no whole spans of tiles.
template <int64_t tile>
void expect_reference(int64_t rows, int64_t cols) {
  ThreadPool one(1), three(3);
  const BlockLdl in = factor(cols, tile, 2, one), out = factor(rows, tile, 3, one);
  for (const float* l_out : {static_cast<const float*>(nullptr), out.l.data()}) {
    const std::vector<float> w = random_weights(rows * cols);
    std::vector<float> a = w, b = w, reference = w;
    tile_loop({tile, in.l.data(), l_out}, a.data(), rows, cols, to_halves<tile>, one);
    tile_loop({tile, in.l.data(), l_out}, b.data(), rows, cols, to_halves<tile>, three);
    EXPECT_EQ(a, b);
    tile_loop_reference({tile, in.l.data(), l_out}, reference.data(), rows, cols, to_halves<tile>);
    // Targets differ by fp32 sums of a few dozen terms, which moves one in a thousand across a boundary at most.
    int64_t differing = 0;
    for (size_t i = 0; i < a.size(); ++i) differing += a[i] != reference[i];
    EXPECT_LE(differing, rows * cols / 100);
  }
}

TEST(TileLoop, EqualsItsReferenceForAnyNumberOfThreads) { expect_reference<16>(64, 48); }

TEST(TileLoop, EqualsItsReferenceOverSpansOfTiles) {
  expect_reference<2>(2 * kSpanTiles * 2 + 6, kSpanTiles * 2 + 10);
  expect_reference<2>(kSpanTiles * 2 + 10, 2 * kSpanTiles * 2 + 6);
}

TEST(TileLoop, AnIdentityOfOutputsIsOneSided) {
  constexpr int64_t rows = 272, cols = 320;
  ThreadPool threads(2);
  const BlockLdl in = factor(cols, 16, 4, threads);
  std::vector<float> identity(rows * rows, 0.0f);
  for (size_t i = 0; i < rows; ++i) identity[i * rows + i] = 1;
  std::vector<float> one = random_weights(rows * cols), two = one;
  tile_loop({16, in.l.data(), nullptr}, one.data(), rows, cols, to_halves<16>, threads);
  tile_loop({16, in.l.data(), identity.data()}, two.data(), rows, cols, to_halves<16>, threads);
  EXPECT_EQ(one, two);
}

}  // namespace
}  // namespace bitloom
