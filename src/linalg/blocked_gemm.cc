#include "linalg/blocked_gemm.h"

#include <algorithm>
#include <vector>

#include "base/simd/vector_clones.h"

namespace bitloom {
namespace {

/// The tile of C in registers: 4 x 32, eight registers of 16 lanes.
constexpr int64_t kRows = 4, kColumns = 32, kLanes = 16;
/// Blocks of depth, of rows of A (about half of a second-level cache) and of columns of B.
constexpr int64_t kDepth = 256, kRowBlock = 128, kColumnBlock = 512;

typedef float Lanes __attribute__((vector_size(kLanes * sizeof(float)), aligned(sizeof(float)), may_alias));

/// A matrix as it is stored, read as op(matrix).
struct Operand {
  const float* values;
  int64_t row_stride, column_stride;
  Operand(Transpose transpose, const float* from, int64_t stride)
      : values(from),
        row_stride(transpose == Transpose::kYes ? 1 : stride),
        column_stride(transpose == Transpose::kYes ? stride : 1) {}
  float at(int64_t row, int64_t column) const { return values[row * row_stride + column * column_stride]; }
};

/// out [panels, depth, kRows]: rows [row, row + rows) and columns [column, column + depth); zeros below the last row.
void pack_rows(const Operand& from, int64_t row, int64_t rows, int64_t column, int64_t depth, float* out) {
  for (int64_t first = 0; first < rows; first += kRows) {
    for (int64_t d = 0; d < depth; ++d) {
      for (int64_t r = 0; r < kRows; ++r) *out++ = first + r < rows ? from.at(row + first + r, column + d) : 0.0f;
    }
  }
}

/// out [panels, depth, kColumns]: the same of columns.
void pack_columns(const Operand& from, int64_t row, int64_t depth, int64_t column, int64_t columns, float* out) {
  for (int64_t first = 0; first < columns; first += kColumns, out += depth * kColumns) {
    const int64_t width = std::min(kColumns, columns - first);
    for (int64_t d = 0; d < depth; ++d) {
      for (int64_t i = 0; i < kColumns; ++i)
        out[d * kColumns + i] = i < width ? from.at(row + d, column + first + i) : 0.0f;
    }
  }
}

/// tile [kRows, kColumns] = A panel [depth, kRows]^T B panel [depth, kColumns], summed in the order of depth.
BITLOOM_VECTOR_CLONES void multiply_panels(int64_t depth, const float* a, const float* b, float* tile) {
  Lanes sums[kRows][2] = {};
  for (int64_t d = 0; d < depth; ++d, a += kRows, b += kColumns) {
    const Lanes left = *reinterpret_cast<const Lanes*>(b), right = *reinterpret_cast<const Lanes*>(b + kLanes);
    for (int64_t r = 0; r < kRows; ++r) {
      sums[r][0] += a[r] * left;
      sums[r][1] += a[r] * right;
    }
  }
  for (int64_t r = 0; r < kRows; ++r) {
    *reinterpret_cast<Lanes*>(tile + r * kColumns) = sums[r][0];
    *reinterpret_cast<Lanes*>(tile + r * kColumns + kLanes) = sums[r][1];
  }
}

/// C [rows, columns] += alpha * A panels B panels.
void add_product(const std::vector<float>& a, const std::vector<float>& b, int64_t rows, int64_t columns, int64_t depth,
                 float alpha, float* c, int64_t ldc) {
  float tile[kRows * kColumns];
  for (int64_t j = 0; j < columns; j += kColumns) {
    for (int64_t i = 0; i < rows; i += kRows) {
      multiply_panels(depth, a.data() + i * depth, b.data() + j * depth, tile);
      for (int64_t r = 0; r < std::min(kRows, rows - i); ++r) {
        float* out = c + (i + r) * ldc + j;
        for (int64_t s = 0; s < std::min(kColumns, columns - j); ++s) out[s] += alpha * tile[r * kColumns + s];
      }
    }
  }
}

void scale(float beta, int64_t m, int64_t n, float* c, int64_t ldc) {
  for (int64_t i = 0; i < m; ++i) {
    for (int64_t j = 0; j < n; ++j) c[i * ldc + j] = beta == 0.0f ? 0.0f : beta * c[i * ldc + j];
  }
}

}  // namespace

void blocked_sgemm(Transpose trans_a, Transpose trans_b, int64_t m, int64_t n, int64_t k, float alpha, const float* a,
                   int64_t lda, const float* b, int64_t ldb, float beta, float* c, int64_t ldc) {
  // Each thread's own, so that nothing is allocated after its first product.
  thread_local std::vector<float> rows(kRowBlock * kDepth), columns(kColumnBlock * kDepth);
  const Operand left(trans_a, a, lda), right(trans_b, b, ldb);
  if (beta != 1.0f) scale(beta, m, n, c, ldc);
  for (int64_t j = 0; j < n; j += kColumnBlock) {
    const int64_t width = std::min(kColumnBlock, n - j);
    for (int64_t d = 0; d < k; d += kDepth) {
      const int64_t depth = std::min(kDepth, k - d);
      pack_columns(right, d, depth, j, width, columns.data());
      for (int64_t i = 0; i < m; i += kRowBlock) {
        const int64_t height = std::min(kRowBlock, m - i);
        pack_rows(left, i, height, d, depth, rows.data());
        add_product(rows, columns, height, width, depth, alpha, c + i * ldc + j, ldc);
      }
    }
  }
}

}  // namespace bitloom
