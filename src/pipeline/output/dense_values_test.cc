#include "pipeline/output/dense_values.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <vector>

#include "base/memory/dense_matrix.h"
#include "base/rng.h"
#include "pipeline/test_models.h"

namespace bitloom {
namespace {

DenseMatrix random_matrix(int64_t rows, int64_t cols) {
  Rng rng(7, 0);
  std::vector<float> values(static_cast<size_t>(rows * cols));
  for (float& x : values) x = static_cast<float>(rng.normal());
  return {rows, cols, std::move(values)};
}

TEST(RequireFinite, NamesTheFirstBadValueForAnyNumberOfThreads) {
  DenseMatrix w = random_matrix(700, 1000);  // three pieces
  ThreadPool one(1), three(3);
  EXPECT_NO_THROW(require_finite("f", "w", w, three));
  w.values()[699'999] = std::numeric_limits<float>::quiet_NaN();
  w.values()[300'123] = -std::numeric_limits<float>::infinity();
  for (ThreadPool* threads : {&one, &three}) {
    EXPECT_EQ(testing::refusal(ErrorKind::kRefused, [&] { require_finite("f", "w", w, *threads); }),
              "f: tensor 'w' holds Inf at [300, 123]; weights must be finite");
  }
}

TEST(NarrowestExactDtype, LosesNothing) {
  ThreadPool threads(2);
  DenseMatrix w = random_matrix(700, 1000);
  EXPECT_EQ(narrowest_exact_dtype(w, threads), DType::kF32);
  for (float& x : w.values()) x = f16_to_f32(f32_to_f16(x));
  EXPECT_EQ(narrowest_exact_dtype(w, threads), DType::kF16);
  w.values()[0] = 0x1p-30f;  // beyond fp16
  EXPECT_EQ(narrowest_exact_dtype(w, threads), DType::kF32);
  for (float& x : w.values()) x = bf16_to_f32(f32_to_bf16(x));
  EXPECT_EQ(narrowest_exact_dtype(w, threads), DType::kBF16);
  w.values().back() = 1.0f + 0x1p-8f;  // one bit more than bf16 has; fits neither type, because of 2^-30
  EXPECT_EQ(narrowest_exact_dtype(w, threads), DType::kF32);
}

TEST(NarrowestExactDtype, TakesTheEmpty) {
  ThreadPool threads(2);
  EXPECT_EQ(narrowest_exact_dtype(random_matrix(0, 8), threads), DType::kBF16);
  EXPECT_EQ(narrowest_exact_dtype(random_matrix(8, 0), threads), DType::kBF16);
}

TEST(EncodePieces, GivesAllBytesInOrder) {
  ThreadPool threads(3);
  for (const auto& [rows, cols] : {std::pair<int64_t, int64_t>{6100, 700}, {3, 300'000}, {1, 5}, {0, 8}, {8, 0}}) {
    const DenseMatrix w = random_matrix(rows, cols);
    for (const DType dtype : {DType::kF32, DType::kF16, DType::kBF16}) {
      std::vector<std::byte> expected(static_cast<size_t>(bytes_of(dtype, rows * cols))), actual;
      encode_from_f32(dtype, w.values().data(), rows * cols, expected.data());
      encode_pieces(w, dtype, threads,
                    [&](std::span<const std::byte> bytes) { actual.insert(actual.end(), bytes.begin(), bytes.end()); });
      EXPECT_EQ(actual, expected) << rows << "x" << cols;
    }
  }
}

}  // namespace
}  // namespace bitloom
