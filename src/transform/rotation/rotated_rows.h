#pragma once
// Matrices rotated as they are decoded. A rotation of columns acts on each row by itself. A rotation of rows makes
// every row of all of them: over the rows of one head it is done anew for each run of rows that is asked for; over all
// rows of a matrix it is done once, on first use, and the result is kept until release() or until the cache needs the
// room.

#include <cstdint>
#include <list>
#include <memory>
#include <mutex>
#include <vector>

#include "base/memory/row_source.h"
#include "transform/rotation/random_rotation.h"

namespace bitloom {

using RotationPtr = std::shared_ptr<const RandomRotation>;

/// Whole matrices in memory, of many sources, the least recently used let go first: at most `budget` bytes, or one
/// matrix when that is greater. Thread-safe.
class MatrixCache {
 public:
  using Matrix = std::shared_ptr<const std::vector<float>>;
  explicit MatrixCache(int64_t budget) : budget_(budget) {}

  /// Keeps the matrix, as the one used last.
  void keep(const Matrix& matrix);
  void forget(const Matrix& matrix);
  int64_t bytes() const;

 private:
  mutable std::mutex lock_;
  int64_t budget_;
  std::list<Matrix> kept_;  // used last: front
};

/// Each row is multiplied by col_factors (empty: ones), then each run of R.size() columns by R: x <- x R. R.size()
/// divides the columns (asserted). fp64 inside, rounded to fp32 once. Storage: "rotated BF16".
RowSourcePtr rotated_columns(RowSourcePtr source, std::vector<double> col_factors, RotationPtr rotation);

/// R^T W: every row a combination of all. R.size() is the number of rows (asserted). Kept in `cache` as fp32 once
/// decoded. fp64 inside, rounded to fp32 once.
RowSourcePtr rotated_rows(RowSourcePtr source, RotationPtr rotation, std::shared_ptr<MatrixCache> cache);

/// Rows [f, f + R.size()) become R^T times themselves for each f of first_rows, which is ascending, without overlaps
/// (asserted); other rows stay. Decoding touches the bytes of whole runs. fp64 inside, rounded to fp32 once.
RowSourcePtr rotated_row_runs(RowSourcePtr source, RotationPtr rotation, std::vector<int64_t> first_rows);

}  // namespace bitloom
