#include "round/spqr/spqr.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "base/error.h"
#include "base/test_data.h"
#include "format/families/affine/affine_storage.h"
#include "round/gptq/gptq.h"
#include "round/test_matrix.h"

namespace bitloom {
namespace {

using ::testing::HasSubstr;

constexpr int64_t kRows = 300, kCols = 64;
constexpr const char* kStorage = "affine3-g16-s3x16";

InputStatistics inputs_of(ThreadPool& threads) {
  return testing::correlated_inputs(
      kCols, 400, 0.5f, [](int64_t c) { return c == 20 ? 6.0f : 1.0f; }, threads);
}

/// A few weights ten times as large as the others.
DenseMatrix with_outliers() {
  DenseMatrix w = testing::normal_matrix(kRows, kCols, 3);
  for (size_t i = 17; i < w.values().size(); i += 211) w.values()[i] *= 10;
  return w;
}

Rounded round_with(const RowSource& w, const Rounding& rounding, const InputStatistics& inputs, int threads = 2) {
  ThreadPool pool(threads);
  InputCache shared;
  Ranks ranks;
  Rounded rounded = round_matrix(rounding, {"w", w, parse_target(kStorage), &inputs, shared, ranks, pool});
  rounded.matrix->check_values("w");
  return rounded;
}

int64_t kept(const StoredMatrix& matrix) { return matrix.find_part(".outlier_values")->shape[0]; }

TEST(Spqr, KeepsFewWeightsAndErrsLess) {
  ThreadPool threads(2);
  const DenseMatrix w = with_outliers();
  const InputStatistics inputs = inputs_of(threads);
  const Rounded plain = round_with(w, GptqRounding{}, inputs), ours = round_with(w, SpqrRounding{}, inputs);
  const Rounded code = round_with(w, SpqrRounding{.parity = SpqrRounding::Parity::kCode}, inputs);
  EXPECT_LT(*ours.report.output_error, 0.5 * *plain.report.output_error);
  EXPECT_LT(*ours.report.output_error, *code.report.output_error);
  // Every large weight, and not many others.
  EXPECT_GE(kept(*ours.matrix), 91);
  EXPECT_LE(kept(*ours.matrix), static_cast<int64_t>(0.03 * kRows * kCols));
}

// A kept weight is its level and an fp16 beside it: half a unit in the last place of fp16 away from what the loop asked
// for, which for the first column is the weight itself.
TEST(Spqr, KeptWeightsAreExactToFp16) {
  ThreadPool threads(2);
  DenseMatrix w = testing::normal_matrix(kRows, kCols, 3);
  const InputStatistics inputs = inputs_of(threads);
  for (int64_t r = 0; r < kRows; r += 7) w.values()[static_cast<size_t>(r * kCols)] = 3;
  const Rounded rounded = round_with(w, SpqrRounding{.order = ColumnOrder::kNatural}, inputs);
  const std::vector<float> q = rounded.matrix->decode_all();
  for (int64_t r = 0; r < kRows; r += 7) EXPECT_NEAR(q[static_cast<size_t>(r * kCols)], 3, 3 * 0x1p-11);
}

TEST(Spqr, NeverKeepsMoreThanItMay) {
  ThreadPool threads(2);
  const DenseMatrix w = with_outliers();
  const InputStatistics inputs = inputs_of(threads);
  const Rounded few = round_with(w, SpqrRounding{.threshold = 0.05, .most = 0.01}, inputs);
  EXPECT_LE(kept(*few.matrix), static_cast<int64_t>(0.01 * kRows * kCols));
  // Room that grows scarce raises the threshold, so that nothing is left out of a fit in vain.
  EXPECT_LT(*few.report.output_error, 1.2 * *round_with(w, GptqRounding{}, inputs).report.output_error);
  EXPECT_GT(kept(*few.matrix), static_cast<int64_t>(0.005 * kRows * kCols));
  const Rounded none = round_with(w, SpqrRounding{.threshold = 1e6}, inputs);
  EXPECT_EQ(kept(*none.matrix), 0);
  EXPECT_EQ(none.matrix->decode_all(), round_with(w, GptqRounding{}, inputs).matrix->decode_all());
}

TEST(Spqr, BitsAreThePapersAndTheFiles) {
  ThreadPool threads(2);
  const DenseMatrix w = with_outliers();
  const InputStatistics inputs = inputs_of(threads);
  const Rounded rounded = round_with(w, SpqrRounding{}, inputs);
  const double share = static_cast<double>(kept(*rounded.matrix)) / (kRows * kCols);
  EXPECT_DOUBLE_EQ(rounded.matrix->nominal_bits(), 3.625 + 16 * share);
  EXPECT_DOUBLE_EQ(spqr_published_bits(parse_storage(kStorage), 0.01), 3.945);  // LLaMA-7B's 3.94
  // 16 rows of the last block of 12; row pointers.
  const double second = 64.0 * 19 * 4 / (kRows * kCols), starts = 32.0 * (kRows + 1) / (kRows * kCols);
  const double scales = 2 * 8 * 2 / 64.0;  // four codes of 3 bits are two bytes
  EXPECT_NEAR(rounded.matrix->true_bits(), 3 + scales + second + starts + 32 * share, 1e-9);
}

TEST(Spqr, TheSameBytesForAnyNumberOfThreads) {
  ThreadPool threads(2);
  const DenseMatrix w = with_outliers();
  const InputStatistics inputs = inputs_of(threads);
  EXPECT_EQ(round_with(w, SpqrRounding{}, inputs, 1).matrix->decode_all(),
            round_with(w, SpqrRounding{}, inputs, 3).matrix->decode_all());
}

TEST(Spqr, RefusesWhatMeansNothing) {
  ThreadPool threads(1);
  DenseMatrix w = testing::normal_matrix(kRows, kCols, 3);
  const InputStatistics inputs = inputs_of(threads);
  w.values()[3] = INFINITY;
  EXPECT_THAT(testing::message_of(ErrorKind::kRefused, [&] { round_with(w, SpqrRounding{}, inputs); }),
              HasSubstr("w: weight [0, 3] is inf"));
}

}  // namespace
}  // namespace bitloom
