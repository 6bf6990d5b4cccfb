#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

#include "base/test_data.h"
#include "round/round_matrix.h"
#include "round/test_matrix.h"
#include "round/trellis/trellis_rounding.h"

namespace bitloom {
namespace {

using ::testing::HasSubstr;
using testing::message_of;
using testing::normal_matrix;

Rounded round(const Rounding& rounding, const RowSource& w, const char* target, const InputStatistics* inputs = nullptr,
              int thread_count = 1) {
  ThreadPool threads(thread_count);
  Ranks alone;
  InputCache cache;
  return round_matrix(rounding, {"w", w, parse_target(target), inputs, cache, alone, threads});
}

InputStatistics inputs_of(int64_t channels) {
  ThreadPool threads(1);
  return testing::correlated_inputs(
      channels, 600, 0.8f, [](int64_t c) { return c % 5 == 0 ? 3.0f : 1.0f; }, threads);
}

// Normal weights: nearest points have less error than the best scalars, more than a trellis of the same bits, and
// feedback lowers the outputs' error.
TEST(E8pRounding, IsBetweenScalarsAndATrellis) {
  Rng rng(5, 1);
  std::vector<float> values(64 * 64);
  for (float& value : values) value = static_cast<float>(0.02 * rng.normal());
  const DenseMatrix w(64, 64, values);
  const Rounded nearest = round(Rounding(), w, "e8p");
  EXPECT_LT(nearest.report.weight_error, 0.1);
  EXPECT_GT(nearest.report.weight_error, round(ViterbiRounding{}, w, "trellis2-l12").report.weight_error);
  const InputStatistics inputs = inputs_of(64);
  // Rotated, so that what columns can make up for is not in the same run of 8.
  const char* target = "e8p+frame-in64-out64";
  const Rounded fed = round(LdlqRounding{}, w, target, &inputs), plain = round(Rounding(), w, target, &inputs);
  EXPECT_LT(*fed.report.output_error, 0.8 * *plain.report.output_error);
  EXPECT_GT(fed.report.weight_error, plain.report.weight_error);
}

// Rows that fill no tile of 8, columns that fill no point.
TEST(E8pRounding, AnyShape) {
  for (const auto& [rows, cols] : {std::pair<int64_t, int64_t>{1, 1}, {3, 13}, {65, 40}, {20, 300}}) {
    const DenseMatrix w = normal_matrix(rows, cols, 4);
    const InputStatistics inputs = inputs_of(cols);
    for (const Rounding& rounding : {Rounding(), Rounding(LdlqRounding{})}) {
      const Rounded rounded = round(rounding, w, "e8p", &inputs);
      rounded.matrix->check_values("w");
      EXPECT_LT(rounded.report.weight_error, 1.2) << rows << " " << cols;
    }
  }
  const DenseMatrix zeros(17, 33, std::vector<float>(17 * 33, 0.0f));
  const InputStatistics inputs = inputs_of(33);
  EXPECT_EQ(round(Rounding(), zeros, "e8p").matrix->decode_all(), zeros.values());
  EXPECT_EQ(round(LdlqRounding{}, zeros, "e8p", &inputs).matrix->decode_all(), zeros.values());
}

TEST(E8pRounding, SameBytesForAnyNumberOfThreads) {
  const DenseMatrix w = normal_matrix(100, 64, 2);
  const InputStatistics inputs = inputs_of(64);
  for (const Rounding& rounding : {Rounding(), Rounding(LdlqRounding{})}) {
    const Rounded one = round(rounding, w, "e8p+frame-in64-out4", &inputs),
                  three = round(rounding, w, "e8p+frame-in64-out4", &inputs, 3);
    EXPECT_EQ(one.matrix->decode_all(), three.matrix->decode_all());
    EXPECT_EQ(one.report, three.report);
  }
}

TEST(E8pRounding, RefusesWhatItCannotRound) {
  DenseMatrix w = normal_matrix(4, 8, 1);
  EXPECT_THAT(message_of(ErrorKind::kUsage, [&] { round(ViterbiRounding{}, w, "e8p"); }), HasSubstr("e8p"));
  w.values()[9] = std::numeric_limits<float>::infinity();
  EXPECT_EQ(message_of(ErrorKind::kRefused, [&] { round(Rounding(), w, "e8p"); }), "w: weight [1, 1] is inf");
}

}  // namespace
}  // namespace bitloom
