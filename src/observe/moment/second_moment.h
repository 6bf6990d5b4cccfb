#pragma once
// X^T X of a linear site's inputs: all that error feedback, weighted clip search and layer-wise learning need of the
// data.
//
//   sum [d, d] = sum over tokens t of x_t x_t^T, x_t [d] fp32
//
// Products are formed in fp32 over panels of at most kPanelTokens tokens and added up in fp64, the upper triangle only,
// in tiles: memory is d^2 / 2 doubles. Mergeable; the same tokens in the same calls give the same bytes for any number
// of threads. Tokens with a non-finite value are left out and counted.

#include <cstdint>
#include <utility>
#include <vector>

#include "base/threads.h"

namespace bitloom {

class SecondMoment {
 public:
  explicit SecondMoment(int64_t channels);

  /// Adds `tokens` rows of x, `stride` elements apart.
  void add(const float* x, int64_t tokens, int64_t stride, ThreadPool& threads);
  /// Adds what `other` has seen. Error(kFailed) when the numbers of channels differ.
  void merge(const SecondMoment& other);

  int64_t channels() const { return channels_; }
  int64_t tokens() const { return tokens_; }
  int64_t dropped_tokens() const { return dropped_; }

  /// sum[i][j] / tokens, either triangle; 0 when nothing was seen.
  double mean(int64_t i, int64_t j) const;
  /// Mean of x_i^2 for every channel.
  std::vector<double> mean_squares() const;
  /// out [d, d] fp32, both triangles: sum / tokens.
  void copy_to(float* out, ThreadPool& threads) const;
  /// Of that the rows [begin, end): out [end - begin, d].
  void copy_rows(int64_t begin, int64_t end, float* out, ThreadPool& threads) const;

  /// The fp64 tiles, for files: tile (i, j), i <= j, row-major kTile x kTile, tiles ordered by j, then i.
  const std::vector<double>& tiles() const& { return tiles_; }
  std::vector<double> tiles() && { return std::move(tiles_); }
  /// Restores tiles() and the counts. Error(kRefused) when the size is not that of `channels`.
  static SecondMoment restore(int64_t channels, int64_t tokens, int64_t dropped, std::vector<double> tiles);

  /// Of a symmetric mean [d, d] row-major, of which the upper triangle is read.
  static SecondMoment from_mean(int64_t channels, int64_t tokens, const std::vector<float>& mean);

  static constexpr int64_t kTile = 256;
  static constexpr int64_t kPanelTokens = 1024;

 private:
  int64_t tile_count() const;
  void add_finite(const float* x, int64_t tokens, int64_t stride, ThreadPool& threads);

  int64_t channels_, tokens_ = 0, dropped_ = 0;
  std::vector<double> tiles_;
};

}  // namespace bitloom
