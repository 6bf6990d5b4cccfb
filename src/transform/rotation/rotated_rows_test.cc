#include "transform/rotation/rotated_rows.h"

#include <gtest/gtest.h>

#include <cmath>

#include "transform/rotation/test_rotation.h"
#include "transform/scaling/scaled_rows.h"

namespace bitloom {
namespace {

using testing::dense;

/// A matrix that counts how often its rows were decoded.
class CountedRows final : public RowSource {
 public:
  CountedRows(int64_t rows, int64_t cols) : rows_(rows), cols_(cols) {}
  int64_t rows() const override { return rows_; }
  int64_t cols() const override { return cols_; }
  int64_t stored_bytes() const override { return 5; }
  std::string storage() const override { return "counted"; }
  void release() const override { ++released; }
  void decode_rows(int64_t begin, int64_t end, float* out) const override {
    decoded += end - begin;
    for (int64_t r = begin; r < end; ++r) {
      for (int64_t c = 0; c < cols_; ++c) *out++ = std::sin(static_cast<float>(7 * r + 3 * c + 1));
    }
  }
  mutable int64_t decoded = 0, released = 0;

 private:
  int64_t rows_, cols_;
};

RotationPtr rotation_of(int64_t n) { return std::make_shared<const RandomRotation>(n, 11, 1); }

// One rounding to fp32 of values below 8.
constexpr double kRounding = 8 * 0x1p-24;

TEST(RotatedRows, ColumnsAreMultipliedByTheMatrix) {
  const auto source = std::make_shared<CountedRows>(5, 24);
  const RotationPtr rotation = rotation_of(12);
  std::vector<double> factors(24);
  for (size_t c = 0; c < 24; ++c) factors[c] = 0.5 + static_cast<double>(c) / 10;
  const RowSourcePtr rotated = rotated_columns(source, factors, rotation);
  const std::vector<float> w = source->decode_all(), found = rotated->decode_all();
  const std::vector<double> r = dense(*rotation);
  for (size_t row = 0; row < 5; ++row) {
    for (size_t c = 0; c < 24; ++c) {
      const size_t run = c / 12 * 12;
      double sum = 0;
      for (size_t k = 0; k < 12; ++k) {
        sum += static_cast<double>(w[row * 24 + run + k]) * factors[run + k] * r[k * 12 + c - run];
      }
      EXPECT_NEAR(found[row * 24 + c], sum, kRounding);
    }
  }
  std::vector<float> part(24);
  rotated->decode_rows(3, 4, part.data());
  EXPECT_TRUE(std::equal(part.begin(), part.end(), found.begin() + 3 * 24));
  EXPECT_EQ(rotated->storage(), "rotated counted");
  EXPECT_EQ(rotated->stored_bytes(), 5);
}

TEST(RotatedRows, RowsAreMultipliedByTheTranspose) {
  const auto source = std::make_shared<CountedRows>(12, 37);  // more columns than two panels
  const RotationPtr rotation = rotation_of(12);
  const RowSourcePtr rotated = rotated_rows(source, rotation, std::make_shared<MatrixCache>(1 << 20));
  const std::vector<float> w = source->decode_all(), found = rotated->decode_all();
  const std::vector<double> r = dense(*rotation);
  for (size_t row = 0; row < 12; ++row) {
    for (size_t c = 0; c < 37; ++c) {
      double sum = 0;
      for (size_t k = 0; k < 12; ++k) sum += r[k * 12 + row] * static_cast<double>(w[k * 37 + c]);
      EXPECT_NEAR(found[row * 37 + c], sum, kRounding);
    }
  }
}

TEST(RotatedRows, RunsOfRowsLeaveOthersAlone) {
  const auto source = std::make_shared<CountedRows>(14, 9);
  const RotationPtr rotation = rotation_of(4);
  const RowSourcePtr runs = rotated_row_runs(source, rotation, {2, 10});
  const std::vector<float> w = source->decode_all(), all = runs->decode_all();
  const std::vector<double> r = dense(*rotation);
  for (size_t row = 0; row < 14; ++row) {
    const size_t first = row >= 10 ? 10 : 2;
    for (size_t c = 0; c < 9; ++c) {
      double expected = w[row * 9 + c];
      if (row >= first && row < first + 4) {
        expected = 0;
        for (size_t k = 0; k < 4; ++k) expected += r[k * 4 + row - first] * static_cast<double>(w[(first + k) * 9 + c]);
      }
      EXPECT_NEAR(all[row * 9 + c], expected, kRounding);
    }
  }
  for (int64_t begin = 0; begin < 14; ++begin) {
    for (int64_t end = begin + 1; end <= 14; ++end) {
      std::vector<float> part(static_cast<size_t>((end - begin) * 9));
      runs->decode_rows(begin, end, part.data());
      ASSERT_TRUE(std::equal(part.begin(), part.end(), all.begin() + begin * 9)) << begin << " to " << end;
    }
  }
}

TEST(RotatedRows, AreMadeOnceAndReleased) {
  const auto source = std::make_shared<CountedRows>(8, 3);
  const auto cache = std::make_shared<MatrixCache>(1 << 20);
  const RowSourcePtr rotated = rotated_rows(source, rotation_of(8), cache);
  EXPECT_EQ(cache->bytes(), 0);
  const std::vector<float> first = rotated->decode_all();
  EXPECT_EQ(rotated->decode_all(), first);
  EXPECT_EQ(source->decoded, 8);
  EXPECT_EQ(cache->bytes(), 8 * 3 * 4);
  rotated->release();
  EXPECT_EQ(cache->bytes(), 0);
  EXPECT_EQ(source->released, 1);
  EXPECT_EQ(rotated->decode_all(), first);
  EXPECT_EQ(source->decoded, 16);
}

TEST(RotatedRows, TheCacheKeepsToItsBudget) {
  const auto cache = std::make_shared<MatrixCache>(2 * 8 * 3 * 4);  // two of these matrices
  std::vector<std::shared_ptr<CountedRows>> sources;
  std::vector<RowSourcePtr> rotated;
  for (int i = 0; i < 3; ++i) {
    sources.push_back(std::make_shared<CountedRows>(8, 3));
    rotated.push_back(rotated_rows(sources.back(), rotation_of(8), cache));
  }
  for (const int i : {0, 1, 0, 2}) rotated[static_cast<size_t>(i)]->decode_all();
  EXPECT_EQ(cache->bytes(), 2 * 8 * 3 * 4);
  rotated[0]->decode_all();  // used more lately than 1, so still there
  EXPECT_EQ(sources[0]->decoded, 8);
  rotated[1]->decode_all();
  EXPECT_EQ(sources[1]->decoded, 16);
  // A matrix greater than the budget is kept all the same, alone.
  const auto large = std::make_shared<CountedRows>(8, 100);
  const RowSourcePtr of_large = rotated_rows(large, rotation_of(8), cache);
  of_large->decode_all(), of_large->decode_all();
  EXPECT_EQ(large->decoded, 8);
  EXPECT_EQ(cache->bytes(), 8 * 100 * 4);
}

}  // namespace
}  // namespace bitloom
