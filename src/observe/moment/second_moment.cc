#include "observe/moment/second_moment.h"

#include <algorithm>
#include <memory>

#include "base/error.h"
#include "linalg/gemm.h"
#include "observe/finite_tokens.h"

namespace bitloom {
namespace {

constexpr int64_t kTile = SecondMoment::kTile;

int64_t edge_tiles(int64_t channels) { return (channels + kTile - 1) / kTile; }

/// Number of tile (i, j), i <= j.
int64_t tile_index(int64_t i, int64_t j) { return j * (j + 1) / 2 + i; }

/// The pair (i, j) of tile number `index`.
std::pair<int64_t, int64_t> tile_position(int64_t index) {
  int64_t j = 0;
  while ((j + 1) * (j + 2) / 2 <= index) ++j;
  return {index - j * (j + 1) / 2, j};
}

}  // namespace

SecondMoment::SecondMoment(int64_t channels) : channels_(channels) {
  tiles_.resize(static_cast<size_t>(tile_count() * kTile * kTile));
}

int64_t SecondMoment::tile_count() const {
  const int64_t edge = edge_tiles(channels_);
  return edge * (edge + 1) / 2;
}

void SecondMoment::add(const float* x, int64_t tokens, int64_t stride, ThreadPool& threads) {
  const std::vector<char> finite = finite_tokens(x, tokens, channels_, stride, threads);
  dropped_ += std::count(finite.begin(), finite.end(), char{0});
  for_each_run(finite, kPanelTokens,
               [&](int64_t begin, int64_t end) { add_finite(x + begin * stride, end - begin, stride, threads); });
}

// tile(i, j) += X_i^T X_j, X_i [tokens, kTile] the columns of tile row i.
void SecondMoment::add_finite(const float* x, int64_t tokens, int64_t stride, ThreadPool& threads) {
  std::vector<std::unique_ptr<float[]>> scratch(static_cast<size_t>(threads.thread_count()));
  threads.parallel_for_thread(tile_count(), [&](int64_t index, int thread) {
    const auto [i, j] = tile_position(index);
    const int64_t rows = std::min(kTile, channels_ - i * kTile), cols = std::min(kTile, channels_ - j * kTile);
    std::unique_ptr<float[]>& product = scratch[static_cast<size_t>(thread)];
    if (!product) product.reset(new float[kTile * kTile]);
    sgemm(Transpose::kYes, Transpose::kNo, rows, cols, tokens, 1.0f, x + i * kTile, stride, x + j * kTile, stride, 0.0f,
          product.get(), kTile);
    double* tile = tiles_.data() + index * kTile * kTile;
    for (int64_t r = 0; r < rows; ++r) {
      for (int64_t c = 0; c < cols; ++c) tile[r * kTile + c] += static_cast<double>(product[r * kTile + c]);
    }
  });
  tokens_ += tokens;
}

void SecondMoment::merge(const SecondMoment& other) {
  if (other.channels_ != channels_) {
    fail(ErrorKind::kFailed, "second moments of {} and {} channels cannot be merged", channels_, other.channels_);
  }
  for (size_t i = 0; i < tiles_.size(); ++i) tiles_[i] += other.tiles_[i];
  tokens_ += other.tokens_;
  dropped_ += other.dropped_;
}

double SecondMoment::mean(int64_t i, int64_t j) const {
  if (tokens_ == 0) return 0;
  if (i > j) std::swap(i, j);
  const int64_t tile = tile_index(i / kTile, j / kTile);
  const int64_t at = (tile * kTile + i % kTile) * kTile + j % kTile;
  return tiles_[static_cast<size_t>(at)] / static_cast<double>(tokens_);
}

std::vector<double> SecondMoment::mean_squares() const {
  std::vector<double> squares(static_cast<size_t>(channels_));
  for (int64_t i = 0; i < channels_; ++i) squares[static_cast<size_t>(i)] = mean(i, i);
  return squares;
}

void SecondMoment::copy_to(float* out, ThreadPool& threads) const {
  const auto tokens = static_cast<double>(std::max<int64_t>(tokens_, 1));
  threads.parallel_for(tile_count(), [&](int64_t index) {
    const auto [i, j] = tile_position(index);
    for (int64_t r = i * kTile; r < std::min(channels_, (i + 1) * kTile); ++r) {
      const double* row = tiles_.data() + (index * kTile + r % kTile) * kTile;
      for (int64_t c = std::max(r, j * kTile); c < std::min(channels_, (j + 1) * kTile); ++c) {
        const auto value = static_cast<float>(row[c % kTile] / tokens);
        out[r * channels_ + c] = value, out[c * channels_ + r] = value;
      }
    }
  });
}

void SecondMoment::copy_rows(int64_t begin, int64_t end, float* out, ThreadPool& threads) const {
  constexpr int64_t kRows = 8;  // that take turns with a column: as many lines of the cache are written
  const auto tokens = static_cast<double>(std::max<int64_t>(tokens_, 1));
  const int64_t edge = edge_tiles(channels_), first_tile = begin / kTile;
  threads.parallel_for(end > begin ? (edge_tiles(end) - first_tile) * edge : 0, [&](int64_t task) {
    const int64_t i = first_tile + task / edge, j = task % edge;
    const int64_t last = std::min(end, (i + 1) * kTile), cols = std::min(channels_, (j + 1) * kTile);
    for (int64_t r0 = std::max(begin, i * kTile); r0 < last; r0 += kRows) {
      const int64_t r1 = std::min(last, r0 + kRows);
      // From the row itself where it lies in the upper triangle, else from the column that mirrors it.
      for (int64_t r = r0; r < r1 && i <= j; ++r) {
        const double* row = tiles_.data() + (tile_index(i, j) * kTile + r % kTile) * kTile;
        float* to = out + (r - begin) * channels_;
        for (int64_t c = std::max(r, j * kTile); c < cols; ++c) to[c] = static_cast<float>(row[c % kTile] / tokens);
      }
      for (int64_t c = j * kTile; c < std::min(cols, r1) && j <= i; ++c) {
        const double* column = tiles_.data() + (tile_index(j, i) * kTile + c % kTile) * kTile;
        for (int64_t r = std::max(r0, c + 1); r < r1; ++r) {
          out[(r - begin) * channels_ + c] = static_cast<float>(column[r % kTile] / tokens);
        }
      }
    }
  });
}

SecondMoment SecondMoment::from_mean(int64_t channels, int64_t tokens, const std::vector<float>& mean) {
  SecondMoment moment(channels);
  moment.tokens_ = tokens;
  for (int64_t index = 0; index < moment.tile_count(); ++index) {
    const auto [i, j] = tile_position(index);
    for (int64_t r = i * kTile; r < std::min(channels, (i + 1) * kTile); ++r) {
      for (int64_t c = j * kTile; c < std::min(channels, (j + 1) * kTile); ++c) {
        const double value = mean[static_cast<size_t>(r <= c ? r * channels + c : c * channels + r)];
        moment.tiles_[static_cast<size_t>((index * kTile + r % kTile) * kTile + c % kTile)] =
            value * static_cast<double>(tokens);
      }
    }
  }
  return moment;
}

SecondMoment SecondMoment::restore(int64_t channels, int64_t tokens, int64_t dropped, std::vector<double> tiles) {
  SecondMoment moment(channels);
  if (tiles.size() != moment.tiles_.size()) {
    refuse("second moment of {} channels: {} values, expected {}", channels, tiles.size(), moment.tiles_.size());
  }
  moment.tokens_ = tokens;
  moment.dropped_ = dropped;
  moment.tiles_ = std::move(tiles);
  return moment;
}

}  // namespace bitloom
