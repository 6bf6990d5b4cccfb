#pragma once
// For tests only: matrices of any storage, with random bytes that mean something.

#include <algorithm>
#include <cstring>
#include <numeric>
#include <string>
#include <vector>

#include "base/rng.h"
#include "format/stored_matrix.h"

namespace bitloom::testing {

/// The bytes of the parts of a [rows, cols] matrix, in the order of greatest_parts: codes of every bit pattern, scales
/// and levels of fp16 and fp32 in [0.5, 1.5), a random order, outliers as many as there may be. Rows and columns that
/// are multiples of 8 leave no padding bits, which would not be zero. For families whose codes may have any bits and
/// whose sizes are fixed.
inline std::vector<std::vector<std::byte>> random_parts(const Storage& storage, int64_t rows, int64_t cols,
                                                        uint64_t seed) {
  Rng rng(seed, 79);
  std::vector<std::vector<std::byte>> parts;
  std::vector<std::vector<std::byte>> outliers;
  if (storage.side.outliers.present()) {
    const int64_t most = most_outliers(storage.side.outliers, rows, cols);
    std::vector<Outlier> some;
    for (int64_t i = 0; i < most; ++i) {
      const int64_t place = i * (rows * cols / most);
      some.push_back({place / cols, place % cols, static_cast<float>(rng.normal())});
    }
    outliers = pack_outliers(std::move(some), rows);
  }
  for (const TensorPart& part : greatest_parts(storage, rows, cols)) {
    std::vector<std::byte>& bytes = parts.emplace_back(static_cast<size_t>(bytes_of(part)));
    if (part.suffix == ".order") {
      std::vector<int64_t> order(static_cast<size_t>(cols));
      std::iota(order.begin(), order.end(), 0);
      for (size_t i = order.size(); i > 1; --i) std::swap(order[i - 1], order[rng.next_u32() % i]);
      bytes = pack_column_order(order);
    } else if (part.suffix.starts_with(".outlier")) {
      bytes = outliers[static_cast<size_t>(part.suffix == ".outlier_values" ? 0
                                           : part.suffix == ".outlier_columns" ? 1
                                                                            : 2)];
    } else if (part.dtype == DType::kF16) {
      for (size_t i = 0; i < bytes.size(); i += 2) {
        const uint16_t half = f32_to_f16(0.5f + rng.uniform());
        std::memcpy(bytes.data() + i, &half, 2);
      }
    } else if (part.dtype == DType::kF32) {
      for (size_t i = 0; i < bytes.size(); i += 4) {
        const float value = 0.5f + static_cast<float>(rng.uniform());
        std::memcpy(bytes.data() + i, &value, 4);
      }
    } else {
      for (std::byte& byte : bytes) byte = static_cast<std::byte>(rng.next_u32());
    }
  }
  return parts;
}

inline std::shared_ptr<const StoredMatrix> random_stored(const std::string& text, int64_t rows, int64_t cols,
                                                         uint64_t seed) {
  const Storage storage = parse_storage(text);
  return stored_from_bytes("w", storage, rows, cols, random_parts(storage, rows, cols, seed));
}

/// The matrix without its side terms.
inline std::shared_ptr<const StoredMatrix> base_of(const StoredMatrix& matrix) {
  const Storage storage{matrix.spec().base, {}};
  std::vector<std::vector<std::byte>> bytes;
  for (const TensorPart& part : greatest_parts(storage, matrix.rows(), matrix.cols())) {
    const auto stored = matrix.find_part(part.suffix)->bytes;
    bytes.emplace_back(stored.begin(), stored.end());
  }
  return stored_from_bytes("w", storage, matrix.rows(), matrix.cols(), std::move(bytes));
}

/// A factor of its low-rank term: ".low_a", which is A^T [r, rows], or ".low_b", B [r, cols].
inline std::shared_ptr<const StoredMatrix> factor_of(const StoredMatrix& matrix, const std::string& factor) {
  const LowRankStorage& term = matrix.spec().side.low_rank;
  const Storage storage{term.factors, {}};
  const int64_t cols = factor == ".low_a" ? matrix.rows() : matrix.cols();
  const int64_t rank = rank_of(term, matrix.rows(), matrix.cols());
  std::vector<std::vector<std::byte>> bytes;
  for (const TensorPart& part : greatest_parts(storage, rank, cols)) {
    const auto stored = matrix.find_part(factor + part.suffix)->bytes;
    bytes.emplace_back(stored.begin(), stored.end());
  }
  return stored_from_bytes("w", storage, rank, cols, std::move(bytes));
}

}  // namespace bitloom::testing
