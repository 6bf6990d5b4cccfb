#pragma once
// Statistics of a whole matrix that is read tile by tile: what one scale for a tensor, or a two-level scale, needs to
// know. The same for any number of threads: integer counts, and sums in the order of the tiles.

#include <functional>
#include <string>
#include <vector>

#include "base/memory/row_source.h"
#include "base/threads.h"
#include "round/scale/group_quantizer.h"

namespace bitloom {

/// Weights of a tile, unless a row or a group's rows are more.
inline constexpr int64_t kTileWeights = 1 << 16;

/// Cuts W into tiles of rows whose number depends on the shape only, and decodes them on all threads.
class TileReader {
 public:
  /// Tiles hold whole multiples of `group_rows` rows, and about kTileWeights weights.
  TileReader(const std::string& name, const RowSource& w, int64_t group_rows, ThreadPool& threads);

  int64_t tiles() const { return tiles_; }
  /// visit(tile, first row, rows, weights [rows, cols]) for every tile, concurrently. Error(kRefused) naming the matrix
  /// and position for NaN and Inf.
  void for_each(const std::function<void(int64_t tile, int64_t first, int64_t rows, const float* w)>& visit) const;

  /// The matrix in fp32, row-major. Errors as for_each().
  std::vector<float> decode_all() const;

  const RowSource& matrix() const { return w_; }

 private:
  void check_finite(const float* w, int64_t first, int64_t rows) const;

  const std::string& name_;
  const RowSource& w_;
  ThreadPool& threads_;
  int64_t tile_rows_, tiles_;
};

WeightRange range_of_matrix(const TileReader& tiles);

/// The one scale of a whole matrix by the target's range rule and constraint.
GroupScale choose_for_matrix(const TileReader& tiles, const GroupQuantizer& quantizer, const float* importance);

}  // namespace bitloom
