#include "round/trellis/tile_loop.h"

#include <algorithm>

#include "linalg/gemm.h"

namespace bitloom {
namespace {

class Loop {
 public:
  Loop(const TileFeedback& feedback, float* w, int64_t rows, int64_t cols, const RoundTile& round)
      : f_(feedback), w_(w), rows_(rows), cols_(cols), round_(round), r_(static_cast<size_t>(rows * cols)) {}

  void run(ThreadPool& threads) {
    const int64_t tile_rows = rows_ / f_.tile, tile_cols = cols_ / f_.tile;
    if (f_.out == nullptr) {
      threads.parallel_for_thread(tile_rows, [&](int64_t o, int thread) {
        for (int64_t i = tile_cols - 1; i >= 0; --i) solve(o, i, thread);
      });
      return;
    }
    // Tiles of one anti-diagonal need none of each other.
    for (int64_t d = tile_rows + tile_cols - 2; d >= 0; --d) {
      const int64_t first = std::max<int64_t>(0, d - tile_cols + 1), last = std::min(tile_rows - 1, d);
      threads.parallel_for_thread(last - first + 1,
                                  [&](int64_t k, int thread) { solve(first + k, d - first - k, thread); });
    }
  }

 private:
  float* tile_of(float* matrix, int64_t o, int64_t i) const { return matrix + o * f_.tile * cols_ + i * f_.tile; }

  void solve(int64_t o, int64_t i, int thread) {
    const int64_t tile = f_.tile;
    std::vector<float> target(static_cast<size_t>(tile * tile)), decoded(target.size()), error(target.size());
    float* w = tile_of(w_, o, i);
    float* r = tile_of(r_.data(), o, i);
    for (int64_t a = 0; a < tile; ++a) {
      for (int64_t b = 0; b < tile; ++b) {
        target[static_cast<size_t>(a * tile + b)] = w[a * cols_ + b] + r[a * cols_ + b];
      }
    }
    const int64_t below = (o + 1) * tile;
    if (f_.out != nullptr && below < rows_) {
      // target += L_O[below.., o]^T R[below.., i]
      sgemm(Transpose::kYes, Transpose::kNo, tile, tile, rows_ - below, 1.0f, f_.out + below * rows_ + o * tile, rows_,
            r_.data() + below * cols_ + i * tile, cols_, 1.0f, target.data(), tile);
    }
    round_(o, i, target.data(), decoded.data(), thread);
    for (int64_t a = 0; a < tile; ++a) {
      for (int64_t b = 0; b < tile; ++b) {
        const auto at = static_cast<size_t>(a * tile + b);
        error[at] = w[a * cols_ + b] - decoded[at];
        w[a * cols_ + b] = decoded[at];
        r[a * cols_ + b] += error[at];
      }
    }
    if (i == 0 || f_.in == nullptr) return;
    // R[o, ..i) += E_oi L_I[i, ..i)
    sgemm(Transpose::kNo, Transpose::kNo, tile, i * tile, tile, 1.0f, error.data(), tile, f_.in + i * tile * cols_,
          cols_, 1.0f, r_.data() + o * tile * cols_, cols_);
  }

  const TileFeedback& f_;
  float* w_;
  int64_t rows_, cols_;
  const RoundTile& round_;
  std::vector<float> r_;
};

}  // namespace

void tile_loop(const TileFeedback& feedback, float* w, int64_t rows, int64_t cols, const RoundTile& round,
               ThreadPool& threads) {
  Loop(feedback, w, rows, cols, round).run(threads);
}

void tile_loop_reference(const TileFeedback& feedback, float* w, int64_t rows, int64_t cols, const RoundTile& round) {
  const int64_t tile = feedback.tile;
  std::vector<double> error(static_cast<size_t>(rows * cols));  // E, 0 where nothing is known
  std::vector<float> target(static_cast<size_t>(tile * tile)), decoded(target.size());
  const auto entry = [](const float* l, int64_t n, int64_t i, int64_t j) {
    return l == nullptr ? (i == j ? 1.0 : 0.0) : static_cast<double>(l[i * n + j]);
  };
  for (int64_t o = rows / tile - 1; o >= 0; --o) {
    for (int64_t i = cols / tile - 1; i >= 0; --i) {
      for (int64_t a = o * tile; a < (o + 1) * tile; ++a) {
        for (int64_t b = i * tile; b < (i + 1) * tile; ++b) {
          // (L_O^T E L_I)_ab of what is known, and W_ab.
          double sum = w[a * cols + b];
          for (int64_t p = a; p < rows; ++p) {
            double inner = 0;
            for (int64_t q = b; q < cols; ++q)
              inner += error[static_cast<size_t>(p * cols + q)] * entry(feedback.in, cols, q, b);
            sum += entry(feedback.out, rows, p, a) * inner;
          }
          target[static_cast<size_t>((a - o * tile) * tile + b - i * tile)] = static_cast<float>(sum);
        }
      }
      round(o, i, target.data(), decoded.data(), 0);
      for (int64_t a = 0; a < tile; ++a) {
        for (int64_t b = 0; b < tile; ++b) {
          float& weight = w[(o * tile + a) * cols + i * tile + b];
          const float q = decoded[static_cast<size_t>(a * tile + b)];
          error[static_cast<size_t>((o * tile + a) * cols + i * tile + b)] =
              static_cast<double>(weight) - static_cast<double>(q);
          weight = q;
        }
      }
    }
  }
}

}  // namespace bitloom
