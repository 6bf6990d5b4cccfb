#include "ops/packed_low_rank.h"

#include <algorithm>
#include <cmath>
#include <string>

#include "base/simd/vector_clones.h"

namespace bitloom {
namespace {

/// The factor [rank, width] whose parts' names begin with `prefix`, as a matrix; null where it is none of 8-bit
/// integers with a scale a row.
std::shared_ptr<const StoredMatrix> open_factor(const StoredMatrix& matrix, const std::string& prefix, int64_t width) {
  const LowRankStorage& term = matrix.spec().side.low_rank;
  const auto* grid = term.factors.get_if<GridStorage>();
  const auto* integer = grid == nullptr ? nullptr : std::get_if<IntFormat>(&grid->format);
  if (integer == nullptr || bits_of(grid->format) != 8 || grid->asymmetric) return nullptr;
  const int64_t rank = rank_of(term, matrix.rows(), matrix.cols());
  std::vector<TensorPart> parts = term.factors.greatest_parts(rank, width);
  for (TensorPart& part : parts) part.bytes = matrix.find_part(prefix + part.suffix)->bytes;
  auto factor = StoredMatrix::from_parts(prefix, Storage{term.factors, {}}, rank, width, parts, nullptr);
  const ScaleShape& shape = factor->grid()->shape();
  return shape.cols == 1 && shape.rows == rank ? factor : nullptr;
}

/// y [count] += sum over k < rank of scales[k] z[k] codes[k stride ..].
BITLOOM_VECTOR_CLONES void add_rows(const int8_t* codes, int64_t stride, const float* scales, const float* z,
                                    int64_t rank, int64_t count, float* y) {
  constexpr int64_t kStep = 64;
  int64_t first = 0;
  for (; first + kStep <= count; first += kStep) {
    float sums[kStep] = {};
    for (int64_t k = 0; k < rank; ++k) {
      const int8_t* row = codes + k * stride + first;
      const float factor = scales[k] * z[k];
      for (int64_t i = 0; i < kStep; ++i) sums[i] += factor * static_cast<float>(row[i]);
    }
    for (int64_t i = 0; i < kStep; ++i) y[first + i] += sums[i];
  }
  for (; first < count; ++first) {
    float sum = 0;
    for (int64_t k = 0; k < rank; ++k) sum += scales[k] * z[k] * static_cast<float>(codes[k * stride + first]);
    y[first] += sum;
  }
}

}  // namespace

std::unique_ptr<const PackedLowRank> PackedLowRank::open(const StoredMatrix& matrix) {
  const auto a = open_factor(matrix, ".low_a", matrix.rows());
  if (a == nullptr) return nullptr;
  std::unique_ptr<PackedLowRank> packed(new PackedLowRank);
  packed->inner_ = open_factor(matrix, ".low_b", matrix.cols());
  if (packed->inner_ == nullptr) return nullptr;
  packed->rows_ = matrix.rows();
  packed->codes_ = matrix.find_part(".low_a.codes")->bytes.data();
  const int fraction = std::get<IntFormat>(a->grid()->storage().format).fraction;
  for (int64_t k = 0; k < a->rows(); ++k) {
    float scale;
    uint8_t zero;
    a->grid()->scales_of_row(k, &scale, &zero);
    packed->scales_.push_back(std::ldexp(scale, -fraction));
  }
  return packed;
}

void PackedLowRank::add(int64_t first, int64_t last, int64_t tokens, const float* z, float* y, int64_t y_stride) const {
  const auto* codes = reinterpret_cast<const int8_t*>(codes_) + first;
  for (int64_t t = 0; t < tokens; ++t) {
    add_rows(codes, rows_, scales_.data(), z + t * rank(), rank(), last - first, y + t * y_stride + first);
  }
}

}  // namespace bitloom
