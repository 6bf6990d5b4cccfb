#include "round/pb/pb.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "base/error.h"
#include "base/test_data.h"
#include "round/test_matrix.h"

namespace bitloom {
namespace {

using ::testing::HasSubstr;

constexpr int64_t kRows = 300, kCols = 80;

InputStatistics inputs_of(ThreadPool& threads) {
  return testing::correlated_inputs(
      kCols, 400, 0.7f, [](int64_t) { return 1.0f; }, threads);
}

Rounded round_with(const RowSource& w, const char* storage, const InputStatistics& inputs, ThreadPool& threads) {
  InputCache shared;
  Ranks ranks;
  Rounded rounded =
      round_matrix(Rounding(PbRounding{}), {"w", w, parse_target(storage), &inputs, shared, ranks, threads});
  rounded.matrix->check_values("w");
  return rounded;
}

TEST(Pb, MoreWeightsInEightBitsErrLess) {
  ThreadPool threads(2);
  const DenseMatrix w = testing::normal_matrix(kRows, kCols, 3);
  const InputStatistics inputs = inputs_of(threads);
  double last = 1;
  for (const char* storage : {"partial0", "partial0.1", "partial0.5", "partial1"}) {
    const double error = *round_with(w, storage, inputs, threads).report.output_error;
    EXPECT_LT(error, 0.9 * last) << storage;
    last = error;
  }
  EXPECT_LT(last, 1e-4);  // 8 bits
}

TEST(Pb, BitsAreThePapersAndTheFiles) {
  ThreadPool threads(2);
  const DenseMatrix w = testing::normal_matrix(kRows, kCols, 3);
  const InputStatistics inputs = inputs_of(threads);
  const auto matrix = round_with(w, "partial0.1", inputs, threads).matrix;
  EXPECT_NEAR(matrix->nominal_bits(), 1.7, 1e-9);
  EXPECT_DOUBLE_EQ(nominal_bits(matrix->spec(), kRows, kCols), 1.7);
  // Mask, signs, a byte for every tenth weight, four fp16 a row.
  EXPECT_DOUBLE_EQ(matrix->true_bits(), 2 + 0.8 + 64.0 / kCols);
  EXPECT_EQ(matrix->storage(), "partial0.1");
}

TEST(Pb, TheSameBytesForAnyNumberOfThreads) {
  ThreadPool one(1), three(3);
  const DenseMatrix w = testing::normal_matrix(kRows, kCols, 3);
  const InputStatistics inputs = inputs_of(one);
  EXPECT_EQ(round_with(w, "partial0.1", inputs, one).matrix->decode_all(),
            round_with(w, "partial0.1", inputs, three).matrix->decode_all());
}

TEST(Pb, RefusesWhatMeansNothing) {
  EXPECT_THAT(testing::message_of(ErrorKind::kUsage, [] { parse_storage("partial1.5"); }),
              HasSubstr("\"partial1.5\": a share of the weights from 0 to 1"));
  ThreadPool threads(1);
  DenseMatrix w = testing::normal_matrix(kRows, kCols, 3);
  const InputStatistics inputs = inputs_of(threads);
  w.values()[3] = NAN;
  EXPECT_THAT(testing::message_of(ErrorKind::kRefused, [&] { round_with(w, "partial0.1", inputs, threads); }),
              HasSubstr("w: weight [0, 3] is nan"));
}

}  // namespace
}  // namespace bitloom
