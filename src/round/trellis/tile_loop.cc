#include "round/trellis/tile_loop.h"

#include <algorithm>

#include "linalg/gemm.h"

namespace bitloom {
namespace {

// Sums over tiles far away are formed for a span of tiles at once, so that a factor is read once for 16 tiles.
class Loop {
 public:
  Loop(const TileFeedback& feedback, float* w, int64_t rows, int64_t cols, const RoundTile& round)
      : f_(feedback),
        w_(w),
        rows_(rows),
        cols_(cols),
        span_(kSpanTiles * feedback.tile),
        round_(round),
        r_(static_cast<size_t>(rows * cols)),
        errors_(static_cast<size_t>(rows * span_)),
        far_(feedback.out == nullptr ? 0 : static_cast<size_t>(rows * span_)) {}

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
  /// Where column i's tiles lie in rows of one span.
  int64_t in_span(int64_t i) const { return i % kSpanTiles * f_.tile; }
  /// The end of the span of tiles that t is in, of n, in channels.
  int64_t span_end(int64_t t, int64_t n) const { return std::min((t / kSpanTiles + 1) * span_, n); }

  void solve(int64_t o, int64_t i, int thread) {
    const int64_t tile = f_.tile;
    std::vector<float> target(static_cast<size_t>(tile * tile)), decoded(target.size());
    float* w = tile_of(w_, o, i);
    float* r = tile_of(r_.data(), o, i);
    for (int64_t a = 0; a < tile; ++a) {
      for (int64_t b = 0; b < tile; ++b) {
        target[static_cast<size_t>(a * tile + b)] = w[a * cols_ + b] + r[a * cols_ + b];
      }
    }
    if (f_.out != nullptr) add_below(o, i, target.data());
    round_(o, i, target.data(), decoded.data(), thread);
    float* error = errors_.data() + o * tile * span_ + in_span(i);
    for (int64_t a = 0; a < tile; ++a) {
      for (int64_t b = 0; b < tile; ++b) {
        const float q = decoded[static_cast<size_t>(a * tile + b)];
        error[a * span_ + b] = w[a * cols_ + b] - q;
        w[a * cols_ + b] = q;
        r[a * cols_ + b] += error[a * span_ + b];
      }
    }
    if (f_.in != nullptr) feed_left(o, i, error);
  }

  /// target += L_O[below, o]^T R[below, i]. What lies below o's span of rows is added up for the whole span, when its
  /// last row of tiles comes.
  void add_below(int64_t o, int64_t i, float* target) {
    const int64_t tile = f_.tile, below = (o + 1) * tile, end = span_end(o, rows_);
    float* far = far_.data() + o * tile * span_ + in_span(i);
    if (below == end && end < rows_) {
      const int64_t first = o / kSpanTiles * span_;
      sgemm(Transpose::kYes, Transpose::kNo, end - first, tile, rows_ - end, 1.0f, f_.out + end * rows_ + first, rows_,
            r_.data() + end * cols_ + i * tile, cols_, 0.0f, far_.data() + first * span_ + in_span(i), span_);
    }
    if (end < rows_) {
      for (int64_t a = 0; a < tile; ++a) {
        for (int64_t b = 0; b < tile; ++b) target[a * tile + b] += far[a * span_ + b];
      }
    }
    if (below == end) return;
    sgemm(Transpose::kYes, Transpose::kNo, tile, tile, end - below, 1.0f, f_.out + below * rows_ + o * tile, rows_,
          r_.data() + below * cols_ + i * tile, cols_, 1.0f, target, tile);
  }

  /// R[o, ..i) += E_oi L_I[i, ..i) in i's span of columns; left of it E of the whole span, with its first column.
  void feed_left(int64_t o, int64_t i, const float* error) {
    const int64_t tile = f_.tile, first = i / kSpanTiles * span_;
    float* r = r_.data() + o * tile * cols_;
    if (i * tile > first) {
      sgemm(Transpose::kNo, Transpose::kNo, tile, i * tile - first, tile, 1.0f, error, span_,
            f_.in + i * tile * cols_ + first, cols_, 1.0f, r + first, cols_);
    } else if (first > 0) {
      sgemm(Transpose::kNo, Transpose::kNo, tile, first, span_end(i, cols_) - first, 1.0f, error, span_,
            f_.in + first * cols_, cols_, 1.0f, r, cols_);
    }
  }

  const TileFeedback& f_;
  float* w_;
  int64_t rows_, cols_;
  int64_t span_;  // channels
  const RoundTile& round_;
  std::vector<float> r_;
  std::vector<float> errors_;  // [rows, span]: E of the span of columns that a row of tiles is in
  std::vector<float> far_;     // [rows, span]: sums over the rows below a row's span, of the last span of columns
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
