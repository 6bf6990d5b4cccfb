#include "tune/learned/code_step.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace bitloom {
namespace {

constexpr double kSecond = 0.95;  // as the paper's code has it
constexpr double kEpsilon = 1e-12;

/// A matrix's tiles, counted row by row.
struct Tiles {
  int64_t cols = 0, width = 0, in_row = 0;
  int64_t row(int64_t tile) const { return tile / in_row; }
  int64_t column(int64_t tile) const { return tile % in_row * width; }
  int64_t width_of(int64_t tile) const { return std::min(width, cols - column(tile)); }
  int64_t first(int64_t tile) const { return row(tile) * cols + column(tile); }
};

/// Sums of squares of rows, added in their order.
double square_of(const std::vector<float>& w, const CodeMatrix& matrix, ThreadPool& threads) {
  std::vector<double> sums(static_cast<size_t>(matrix.rows));
  threads.parallel_for(matrix.rows, [&](int64_t r) {
    for (int64_t i = r * matrix.cols; i < (r + 1) * matrix.cols; ++i) {
      sums[static_cast<size_t>(r)] += std::pow(static_cast<double>(w[static_cast<size_t>(i)]), 2);
    }
  });
  return std::accumulate(sums.begin(), sums.end(), 0.0);
}

/// The `count` tiles farthest from B, the farthest first, of equal ones the first.
std::vector<int64_t> farthest(const Tiles& tiles, const CodeMatrix& matrix, int64_t count, const std::vector<float>& w,
                              const std::vector<float>& wanted, ThreadPool& threads) {
  std::vector<float> distances(static_cast<size_t>(matrix.rows * tiles.in_row));
  threads.parallel_for(matrix.rows, [&](int64_t r) {
    for (int64_t tile = r * tiles.in_row; tile < (r + 1) * tiles.in_row; ++tile) {
      float sum = 0;
      const auto first = static_cast<size_t>(tiles.first(tile));
      for (size_t i = first; i < first + static_cast<size_t>(tiles.width_of(tile)); ++i) {
        sum += (wanted[i] - w[i]) * (wanted[i] - w[i]);
      }
      distances[static_cast<size_t>(tile)] = sum;
    }
  });
  std::vector<int64_t> order(distances.size());
  std::iota(order.begin(), order.end(), 0);
  const auto before = [&](int64_t a, int64_t b) {
    const float of_a = distances[static_cast<size_t>(a)], of_b = distances[static_cast<size_t>(b)];
    return of_a != of_b ? of_a > of_b : a < b;
  };
  std::partial_sort(order.begin(), order.begin() + count, order.end(), before);
  order.resize(static_cast<size_t>(count));
  return order;
}

}  // namespace

std::vector<float> dense_weights(const CodeMatrix& matrix, ThreadPool& threads) {
  std::vector<float> w = matrix.parts.unscaled(matrix.values, threads);
  threads.parallel_for(matrix.rows,
                       [&](int64_t r) { matrix.parts.scale_row(matrix.values, r, w.data() + r * matrix.cols); });
  return w;
}

void move_wanted(std::span<const float> g, double step, int64_t t, float* wanted, float* second) {
  const double of_second = 1 - std::pow(kSecond, static_cast<double>(t));
  for (size_t i = 0; i < g.size(); ++i) {
    const double gradient = g[i], v = kSecond * static_cast<double>(second[i]) + (1 - kSecond) * gradient * gradient;
    second[i] = static_cast<float>(v);
    wanted[i] =
        static_cast<float>(static_cast<double>(wanted[i]) - step * gradient / (std::sqrt(v / of_second) + kEpsilon));
  }
}

int64_t choose_codes(const CodeMatrix& matrix, const CodeOptions& options, std::vector<uint16_t>& codes,
                     std::vector<float>& wanted, ThreadPool& threads) {
  const int64_t width = matrix.parts.tile();
  const Tiles tiles{matrix.cols, width, (matrix.cols + width - 1) / width};
  const int64_t all = matrix.rows * tiles.in_row, of_tile = static_cast<int64_t>(codes.size()) / all;
  std::vector<float> w = dense_weights(matrix, threads);
  const auto most = static_cast<int64_t>(std::ceil(options.changes * static_cast<double>(all)));
  const std::vector<int64_t> chosen = farthest(tiles, matrix, std::clamp<int64_t>(most, 1, all), w, wanted, threads);
  std::vector<float> targets(chosen.size() * static_cast<size_t>(width));
  for (size_t i = 0; i < chosen.size(); ++i) {
    std::copy_n(wanted.begin() + tiles.first(chosen[i]), tiles.width_of(chosen[i]),
                targets.begin() + static_cast<std::ptrdiff_t>(i) * width);
  }
  const auto nearest = matrix.parts.nearest_codes(matrix.values, chosen, targets, options.beam, threads);
  const double limit = std::pow(options.trust, 2) * square_of(w, matrix, threads);
  double moved = 0;
  int64_t changed = 0;
  for (size_t i = 0; i < chosen.size(); ++i) {
    const float* move = nearest.moves.data() + i * static_cast<size_t>(width);
    double square = 0;
    for (int64_t c = 0; c < width; ++c) square += static_cast<double>(move[c]) * static_cast<double>(move[c]);
    if (square == 0) continue;
    if (changed > 0 && moved + square > limit) break;
    moved += square, ++changed;
    std::copy_n(nearest.codes.begin() + static_cast<std::ptrdiff_t>(i) * of_tile, of_tile,
                codes.begin() + chosen[i] * of_tile);
    for (int64_t c = 0; c < tiles.width_of(chosen[i]); ++c)
      w[static_cast<size_t>(tiles.first(chosen[i]) + c)] += move[c];
  }
  if (options.decay > 0) {
    const auto decay = static_cast<float>(options.decay);
    for (size_t i = 0; i < w.size(); ++i) wanted[i] += decay * (w[i] - wanted[i]);
  }
  return changed;
}

}  // namespace bitloom
