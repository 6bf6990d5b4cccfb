#include "round/svid/svid.h"

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

// |W| = g h^T with g = (2, 4), h = (1, 0.5, 2): exact, and sign(0) is +.
TEST(Svid, ARankOneMagnitudeIsExact) {
  ThreadPool threads(1);
  const DenseMatrix w(2, 3, {2, -1, 4, -4, 2, -8});
  InputCache shared;
  Ranks ranks;
  const Rounded rounded = bitloom::round_matrix(Rounding(SvidRounding{}),
                                                {"w", w, parse_target("sign_rank1"), nullptr, shared, ranks, threads});
  const std::vector<float> q = rounded.matrix->decode_all();
  for (size_t i = 0; i < q.size(); ++i) EXPECT_NEAR(q[i], w.values()[i], std::abs(w.values()[i]) * 0x1p-9);
  EXPECT_NEAR(rounded.report.weight_error, 0, 1e-5);
  const RankOne pair = leading_pair(w.values(), 2, 3, {}, 10, threads);
  EXPECT_NEAR(pair.row_scales[1] / pair.row_scales[0], 2, 0.01);
  double rows = 0, cols = 0;
  for (const float x : pair.row_scales) rows += static_cast<double>(x * x);
  for (const float x : pair.col_scales) cols += static_cast<double>(x * x);
  EXPECT_NEAR(rows / cols, 1, 0.01);
}

// |W| = (3 1; 1 3): the leading pair is (1, 1) / sqrt 2 twice with singular value 4, so every magnitude is 2.
TEST(Svid, MagnitudesAreTheLeadingSingularPair) {
  ThreadPool threads(1);
  const RankOne pair = leading_pair({3, -1, 1, 3}, 2, 2, {}, 30, threads);
  for (const float x : pair.row_scales) EXPECT_NEAR(x, std::sqrt(2.0f), 1e-3);
  for (const float x : pair.col_scales) EXPECT_NEAR(x, std::sqrt(2.0f), 1e-3);
}

double error_of(const std::vector<float>& w, const RankOne& pair, const std::vector<float>& costs) {
  double error = 0;
  for (size_t i = 0; i < w.size(); ++i) {
    const size_t r = i / kCols, c = i % kCols;
    const double difference = std::abs(static_cast<double>(w[i])) -
                              static_cast<double>(pair.row_scales[r]) * static_cast<double>(pair.col_scales[c]);
    error += (costs.empty() ? 1.0 : static_cast<double>(costs[c])) * difference * difference;
  }
  return error;
}

TEST(Svid, NoOtherPairIsBetter) {
  ThreadPool threads(2);
  const std::vector<float> w = testing::normal_matrix(kRows, kCols, 3).values();
  std::vector<float> costs;
  for (int64_t c = 0; c < kCols; ++c) costs.push_back(c % 9 == 0 ? 20.0f : 0.5f);
  for (const auto& weights : {std::vector<float>{}, costs}) {
    const RankOne pair = leading_pair(w, kRows, kCols, weights, 20, threads);
    const double least = error_of(w, pair, weights);
    for (const size_t moved : {size_t{0}, size_t{9}, size_t{30}}) {
      for (const float factor : {0.97f, 1.03f}) {
        RankOne other = pair;
        other.row_scales[moved] *= factor;
        EXPECT_LT(least, error_of(w, other, weights));
        other = pair;
        other.col_scales[moved] *= factor;
        EXPECT_LT(least, error_of(w, other, weights));
      }
    }
  }
}

InputStatistics inputs_of(ThreadPool& threads) {
  return testing::correlated_inputs(
      kCols, 400, 0.7f, [](int64_t c) { return c == 5 ? 0.0f : 1.0f; }, threads);
}

Rounded round_with(const RowSource& w, const SvidRounding& options, const InputStatistics& inputs, int threads = 2) {
  ThreadPool pool(threads);
  InputCache shared;
  Ranks ranks;
  Rounded rounded =
      bitloom::round_matrix(Rounding(options), {"w", w, parse_target("sign_rank1"), &inputs, shared, ranks, pool});
  rounded.matrix->check_values("w");
  return rounded;
}

TEST(Svid, FeedbackHelpsOutputs) {
  ThreadPool threads(2);
  const DenseMatrix w = testing::normal_matrix(kRows, kCols, 3);
  const InputStatistics inputs = inputs_of(threads);
  const Rounded plain = round_with(w, {}, inputs), fed = round_with(w, {.feedback = true}, inputs);
  EXPECT_LT(*fed.report.output_error, 0.7 * *plain.report.output_error);
  EXPECT_LT(*plain.report.output_error, 0.5);
  EXPECT_DOUBLE_EQ(plain.matrix->true_bits(), 1 + 16.0 / kRows + 16.0 / kCols);
  EXPECT_DOUBLE_EQ(plain.matrix->nominal_bits(), plain.matrix->true_bits());
}

TEST(Svid, TheSameBytesForAnyNumberOfThreads) {
  ThreadPool threads(2);
  const DenseMatrix w = testing::normal_matrix(kRows, kCols, 3);
  const InputStatistics inputs = inputs_of(threads);
  for (const bool feedback : {false, true}) {
    EXPECT_EQ(round_with(w, {.feedback = feedback}, inputs, 1).matrix->decode_all(),
              round_with(w, {.feedback = feedback}, inputs, 3).matrix->decode_all());
  }
}

TEST(Svid, IsWhatIsLeftWithoutData) {
  EXPECT_EQ(rounding_without_data(parse_storage("sign_rank1")), Rounding(SvidRounding{}));
}

TEST(Svid, ZerosStayZerosAndWhatMeansNothingIsRefused) {
  ThreadPool threads(1);
  DenseMatrix w(kRows, kCols, std::vector<float>(kRows * kCols));
  const InputStatistics inputs = inputs_of(threads);
  for (const bool feedback : {false, true}) {
    const Rounded zeros = round_with(w, {.feedback = feedback}, inputs);
    for (const float q : zeros.matrix->decode_all()) ASSERT_EQ(q, 0);
  }
  w.values()[3] = NAN;
  EXPECT_THAT(testing::message_of(ErrorKind::kRefused, [&] { round_with(w, {}, inputs); }),
              HasSubstr("w: weight [0, 3] is nan"));
}

}  // namespace
}  // namespace bitloom
