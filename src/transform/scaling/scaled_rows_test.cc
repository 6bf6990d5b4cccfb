#include "transform/scaling/scaled_rows.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/memory/dense_matrix.h"
#include "transform/scaling/matrix_ranges.h"

namespace bitloom {
namespace {

using ::testing::ElementsAre;

TEST(ScaledRows, ScalesRowsAndColumns) {
  const RowSourcePtr base = dense_matrix(2, 3, {1, 2, 3, 4, 5, 6});
  EXPECT_THAT(scaled_rows(base, {2, 10}, {1, 0.5, -1})->decode_all(), ElementsAre(2, 2, -6, 40, 25, -60));
  EXPECT_THAT(scaled_rows(base, {2, 10}, {})->decode_all(), ElementsAre(2, 4, 6, 40, 50, 60));
  EXPECT_THAT(scaled_rows(base, {}, {3, 1, 1})->decode_all(), ElementsAre(3, 2, 3, 12, 5, 6));
}

TEST(ScaledRows, DecodesAnyRun) {
  const RowSourcePtr scaled = scaled_rows(dense_matrix(3, 2, {1, 2, 3, 4, 5, 6}), {1, 10, 100}, {1, 2});
  std::vector<float> rows(4);
  scaled->decode_rows(1, 3, rows.data());
  EXPECT_THAT(rows, ElementsAre(30, 80, 500, 1200));
}

TEST(ScaledRows, RoundsOnce) {
  // (1 + 2^-23) * 3 * (1/3) is 1 + 2^-23 again; the product with 3 alone would round to 3 + 2^-21.
  const float w = 1.0f + 0x1p-23f;
  EXPECT_EQ(scaled_rows(dense_matrix(1, 1, {w}), {3.0}, {1.0 / 3.0})->decode_all().at(0), w);
}

TEST(ScaledRows, SaysHowItIsStored) {
  const RowSourcePtr scaled = scaled_rows(dense_matrix(1, 1, {1}), {2}, {});
  EXPECT_EQ(scaled->storage(), "scaled F32");
  EXPECT_EQ(scaled_rows(scaled, {2}, {})->storage(), "scaled F32");
  EXPECT_EQ(scaled->stored_bytes(), 4);
}

TEST(MatrixRanges, AreTheGreatestMagnitudes) {
  ThreadPool threads(2);
  const RowSourcePtr small = dense_matrix(2, 3, {1, -7, 3, -4, 5, 0});
  EXPECT_THAT(column_absmax(*small, threads), ElementsAre(4, 7, 3));
  EXPECT_THAT(row_absmax(*small, threads), ElementsAre(7, 5));
  // More rows than a tile: the greatest lies in the last.
  std::vector<float> values(2 * 1000, 1.0f);
  values[2 * 999 + 1] = -9.0f;
  const RowSourcePtr tall = dense_matrix(1000, 2, values);
  EXPECT_THAT(column_absmax(*tall, threads), ElementsAre(1, 9));
  EXPECT_EQ(row_absmax(*tall, threads).at(999), 9.0f);
}

}  // namespace
}  // namespace bitloom
